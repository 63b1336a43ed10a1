"""Which applications the demo starts, where they are, and what serves each."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import licet
from licet.cli.demo.process import Program, Server

#: In a wheel the examples lie inside the package, in a checkout beside it.
PLACES = (
    Path(licet.__file__).parent / "_examples",
    Path(licet.__file__).parents[2] / "example_projects",
)
EXAMPLES = next((place for place in PLACES if place.is_dir()), PLACES[0])


def _uvicorn(*arguments: str) -> tuple[str, ...]:
    quiet = ("--no-access-log", "--no-use-colors", "--timeout-graceful-shutdown", "2")
    # By default uvicorn puts the client in the place of the proxy, which Licet could trust no more.
    rest = ("--no-proxy-headers", *quiet, *arguments)
    return ("-m", "uvicorn", "--host", "127.0.0.1", "--port", "0", *rest)


def _gunicorn(application: str) -> tuple[str, ...]:
    return ("-m", "gunicorn", "--config", "python:licet.cli.demo.gunicorn", application)


def license_server(data: Path, **options: object) -> Program:
    """Return a license server to try things with.

    Args:
        data: the directory of what it keeps.
        options: more of those of `licet serve`, each with its value.
    """
    typed = ["--data", str(data), "--port", "0"]
    for name, value in options.items():
        typed += [f"--{name.replace('_', '-')}", str(value)]
    arguments = ("-m", "licet", "serve", "--dev", "--json", *typed)
    return Program("License server", "uvicorn", data.parent, arguments, "/healthz", tells=True)


def at_its_address(server: Server) -> Program:
    """Return the program of a license server that has ended, to be started where it was."""
    arguments = (*server.program.arguments, "--port", str(server.port))
    return replace(server.program, arguments=arguments)


def applications() -> list[Program]:
    """Return the example applications, each with a server that is installed here."""
    django, flask = EXAMPLES / "django_reports", EXAMPLES / "flask_reports"
    django_asgi = _uvicorn("reports.asgi:application")
    factory = _uvicorn("--factory", "app:create_app")
    programs = [
        Program("Django", "uvicorn", django, django_asgi),
        *(
            Program(name, "uvicorn", EXAMPLES / directory, factory, has_websocket=True)
            for name, directory in (
                ("Starlette", "starlette_reports"),
                ("FastAPI", "fastapi_reports"),
            )
        ),
    ]
    if find_spec("gunicorn") is None:  # as on Windows
        werkzeug = ("-m", "flask", "run", "--host", "127.0.0.1", "--port", "0")
        return [Program("Flask", "werkzeug", flask, werkzeug), *programs]
    return [
        Program("Flask", "gunicorn", flask, _gunicorn("app:create_app()")),
        Program("Django", "gunicorn", django, _gunicorn("reports.wsgi")),
        *programs,
    ]


def summary() -> Program:
    """Return the command that tells what the applications would have refused."""
    arguments = ("-m", "flask", "license", "check", "--json")
    return Program("flask license check", "click", EXAMPLES / "flask_reports", arguments)


def missing() -> list[str]:
    """Return the modules that the demo needs and that are not installed."""
    needed = ("django", "flask", "starlette", "fastapi", "uvicorn", "websockets")
    return [name for name in needed if find_spec(name) is None]
