"""Which dialect the setting `validation_protocol` names, and what a dialect has to be."""

from __future__ import annotations

import inspect
import sys
import textwrap
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

import licet.validation
from licet.core.errors import ConfigError
from licet.core.online import dialects
from licet.core.transport import Request
from licet.validation import Denied, Granted, Introspection, Keygen, Licet, Response, Undecided
from tests.core.asked import LENIENT, NOW, QUESTION, SERVER

ACME = "tests_acme_dialect"


@pytest.fixture
def acme(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return a module of the application's that holds the dialect of the documentation."""
    text = inspect.cleandoc(licet.validation.__doc__ or "")
    code = text.partition("    import json\n")[2].partition("\nWhat holds for")[0]
    module = ModuleType(ACME)
    monkeypatch.setitem(sys.modules, ACME, module)
    exec(textwrap.dedent("    import json\n" + code), module.__dict__)  # noqa: S102
    return module


def refused(value: object) -> ConfigError:
    """Return why a value names no dialect."""
    with pytest.raises(ConfigError) as error:
        dialects.of(value)
    assert error.value.setting == "validation_protocol"
    return error.value


@pytest.mark.parametrize(("name", "kind"), [("licet", Licet), ("introspection", Introspection)])
def test_two_have_a_name(name: str, kind: type) -> None:
    """The two of the protocol."""
    assert dialects.of(name) == kind()
    assert repr(dialects.of(name)) == f"{kind.__name__}()"


def test_a_dialect_names_itself() -> None:
    """An object is taken as it is."""
    keygen = Keygen("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "product")
    assert dialects.of(keygen) is keygen


@pytest.mark.parametrize("what", ["Acme", "made", "factory"])
def test_a_dotted_path_names_a_class_an_object_or_a_function(acme: Any, what: str) -> None:
    """What is called without arguments is called."""
    acme.made = acme.Acme()
    acme.factory = lambda: acme.made
    assert dialects.of(f"{ACME}.{what}") == acme.made
    assert dialects.of(acme.Acme) == acme.made


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    """And one that is near nothing with what could have been written."""
    assert "did you mean introspection?" in str(refused("introspecton"))
    assert "dotted path" in str(refused("keygen"))


@dataclass(frozen=True)
class Waiting:
    """Has a coroutine among its methods."""

    asks_domain = True

    def request(self, *_: Any) -> Any:
        """Ask."""

    async def read(self, *_: Any) -> Any:
        """Wait."""


class Nameless:
    """Has the repr of any object."""

    asks_domain = True

    def request(self, *_: Any) -> Any:
        """Ask."""

    def read(self, *_: Any) -> Any:
        """Read."""


def broken() -> None:
    """Fail with a secret."""
    raise RuntimeError("hunter2")


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        "",
        ".",
        "no.such.module",
        "json.nothing",
        "json.dumps",
        "sys.path",
        dict,
        object(),
        Keygen,
        Waiting(),
        Nameless(),
        broken,
    ],
    ids=str,
)
def test_what_is_no_dialect_is_an_error_of_the_settings(value: object) -> None:
    """At start-up, without the words of what failed."""
    assert "hunter2" not in str(refused(value))


def test_what_is_wrong_with_a_dialect_is_said_by_it(acme: Any) -> None:
    """A `ConfigError` from a factory goes through."""
    acme.factory = lambda: Keygen("no key", "product")
    assert "Keygen public key" in str(refused(f"{ACME}.factory"))


def test_what_is_wrong_with_a_dialect_is_said_by_its_module(acme: Any) -> None:
    """So does one that its module raises where it is looked up."""

    def missing(name: str) -> Any:
        raise ConfigError("acme_key", "is missing", "set it")

    acme.__getattr__ = missing
    with pytest.raises(ConfigError) as error:
        dialects.of(f"{ACME}.Missing")
    assert error.value.setting == "acme_key"


def test_the_documented_dialect_works(acme: Any) -> None:
    """Every line that the documentation shows runs, and decides what it says."""
    dialect = dialects.of(acme.Acme())
    request = dialect.request(QUESTION, SERVER)
    assert isinstance(request, Request)
    assert QUESTION.credential not in request.url

    def read(text: str, server: Any = LENIENT) -> Any:
        body = text.replace("NONCE", QUESTION.nonce).encode()
        return dialect.read(QUESTION, Response(200, {}, body), server)

    yes = f'{{"nonce": "NONCE", "state": "ok", "id": "l", "until": {NOW}, "features": []}}'
    assert isinstance(read(yes), Granted)
    gone = '{"nonce": "NONCE", "state": "gone", "id": "l"}'
    assert read(gone) == Denied("revoked", license_id="l")
    for text in ("{", "{}", "[]", gone.replace("NONCE", "x")):
        with pytest.raises(Undecided):
            read(text)
    with pytest.raises(Undecided):
        read(yes, SERVER)


def test_the_public_names_are_there() -> None:
    """`__all__` is sorted, and everything in it exists."""
    assert sorted(licet.validation.__all__) == licet.validation.__all__
    assert all(hasattr(licet.validation, name) for name in licet.validation.__all__)
