"""What an adapter says when the framework it is for is not installed. It decides nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

NAMES = {
    "django": "Django",
    "flask": "Flask",
    "starlette": "Starlette",
    "fastapi": "FastAPI",
    "opentelemetry": "the API of OpenTelemetry",
    "prometheus_client": "the client of Prometheus",
}


@contextmanager
def extra(framework: str, extra: str, module: str = "") -> Iterator[None]:
    """Around `import framework`: a missing framework is named, with the line that installs it.

    Any other import that fails inside is passed on as it is: an installed framework that is
    broken must not be reported as absent.

    Raises `ImportError` with `name=framework` where the framework is not there.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != framework:
            raise
        needy = module or f"licet.{extra}"
        raise ImportError(
            f'{needy} needs {NAMES[framework]}: pip install "licet[{extra}]"', name=framework
        ) from error
