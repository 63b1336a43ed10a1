"""A license server that is a part of somebody's site."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

import licet
from licet.server import ServerError

Start = Callable[[], AbstractContextManager[TestClient]]


def settings(client: TestClient) -> licet.Settings:
    """Return the settings of a customer's application, from the site; the keys, too."""
    lines = client.get("/settings.env").text.splitlines()
    keys = client.get("/licensing/.well-known/jwks.json").json()
    shown = licet.Settings.from_env(dict(line.split("=", 1) for line in lines))
    return replace(shown, jwks=keys, jwks_url=None)


def test_its_licenses_hold_where_its_settings_are_used(start: Start) -> None:
    """What is issued below /licensing is a license for an application with those settings."""
    with start() as client:
        order = {"customer": "Example GmbH", "features": ["analytics"]}
        answer = client.post("/licensing/v1/licenses", json=order)
        assert answer.status_code == 201
        entitlements = licet.verify(answer.json()["token"], settings(client))
        assert entitlements.features == {"analytics"}
        assert entitlements.customer == "Example GmbH"


def test_without_the_admin_key_nothing_is_issued(start: Start) -> None:
    """The site is public; its vendor's side is not."""
    with start() as client:
        del client.headers["Authorization"]
        assert client.get("/settings.env").status_code == 200
        assert client.post("/licensing/v1/licenses", json={}).status_code == 401


def test_everything_is_kept(start: Start) -> None:
    """After another start licenses, keys and the admin key are those from before."""
    with start() as client:
        given = client.post("/licensing/v1/licenses", json={}).json()
        client.post(f"/licensing/v1/licenses/{given['id']}/revoke")
    with start() as client:
        shown = client.get(f"/licensing/v1/licenses/{given['id']}")
        assert shown.json()["state"] == "revoked"
        assert licet.verify(given["token"], settings(client)).license_id == given["id"]


def test_one_process_has_the_data(start: Start) -> None:
    """A second site on the same data does not start: `--workers` has to be 1, which it is."""
    with start(), pytest.raises(ServerError, match="license server runs on"), start():
        pass
