"""A newcomer's first licensed request, with the README and nothing but the extra `server`."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("uvicorn")

from tests.commands import licet
from tests.server.processes import ROOT, served
from tests.server.running import serving

#: What is typed; `app.py` is the README's application for Starlette, with this server's issuer.
LINES = """\
licet serve --dev
LICENSE=$(licet licenses issue --data licet-server --plan professional --feature analytics)
python -m uvicorn app:app --port 8001
curl -i http://127.0.0.1:8001/reports
curl -i http://127.0.0.1:8001/reports -H "Authorization: Bearer $LICENSE"
""".splitlines()


def application(issuer: str) -> Any:
    """Return the application of the README, for the licenses of an issuer."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    (shown,) = [block for block in blocks if "from licet.starlette" in block]
    assert shown.count("https://licenses.acme.example") == 1
    namespace: dict[str, Any] = {"__name__": "app"}
    exec(shown.replace("https://licenses.acme.example", issuer), namespace)  # noqa: S102
    return namespace["app"]


def answer(line: str, port: int, license_: str) -> httpx.Response:
    """Return what `curl` would."""
    words = shlex.split(line.replace("8001", str(port)).replace("$LICENSE", license_))
    assert words[:2] == ["curl", "-i"]
    headers = dict(words[i + 1].split(": ", 1) for i, word in enumerate(words) if word == "-H")
    return httpx.get(words[2], headers=headers, trust_env=False, timeout=20)


def test_the_first_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five lines lead to a request that is refused without a license, and answered with one."""
    monkeypatch.chdir(tmp_path)
    serve, issue, uvicorn, without, licensed = LINES
    assert uvicorn == "python -m uvicorn app:app --port 8001"
    with served(tmp_path / "licet-server", *serve.split()[2:]) as server:
        (exported,) = shlex.split(server.lines("LICET_ISSUER")[-1])[1:]
        url = exported.removeprefix("LICET_ISSUER=")
        said = licet(*issue.removeprefix("LICENSE=$(licet ").removesuffix(")").split())
        assert (said.status, said.err) == (0, "")
        with serving(application(url)) as (_, port):
            refused = answer(without, port, "")
            assert (refused.status_code, refused.json()["code"]) == (401, "license_required")
            granted = answer(licensed, port, said.out.strip())
            assert (granted.status_code, granted.json()) == (200, {"plan": "professional"})
