"""`python -m license_server`: the license server on a port of this machine."""

from __future__ import annotations

import os

import uvicorn

from .app import from_env

if __name__ == "__main__":
    host = os.environ.get("LICENSE_SERVER_HOST", "127.0.0.1")
    uvicorn.run(from_env(), host=host, port=int(os.environ.get("LICENSE_SERVER_PORT", "8000")))
