"""How the license server runs: one process under uvicorn, its socket, TLS and lock.

`sockets` listens, `lock` keeps a second process off the same data, `tls` makes contexts of files
and `reloading` keeps them in step, `connection` and `extension` say what certificate a client has
shown, `serving` runs an application until it is told to end, `keyfiles` keeps API keys for whoever
started it. Nothing here knows what the application does.
"""
