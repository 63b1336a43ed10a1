"""How gunicorn serves in the demo; it reads the names below as its settings."""

bind = "127.0.0.1:0"
#: An open event stream takes one of them.
threads = 4
#: Seconds without a sign of life after which a worker is replaced; one that has lost its master
#: notices after half of it.
timeout = 6
graceful_timeout = 2
#: Its path is the same for every gunicorn of a user, who may run one of their own.
control_socket_disable = True
