"""How license servers are spoken to, and which way a setting names.

A dialect decides what an answer is worth, so whoever names one is trusted with that: settings
alone name it, never a request, a license or a server.
"""

from __future__ import annotations

import inspect
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any

from licet.core.errors import ConfigError

if TYPE_CHECKING:
    from licet.core.online.question import Dialect

#: The dialects with a name of their own; imported when one is asked for, as they bring httpx.
NAMED = {
    "licet": "licet.core.online.dialects.licet.Licet",
    "introspection": "licet.core.online.dialects.introspection.Introspection",
}
_SETTING = "validation_protocol"
_REMEDY = "write licet, introspection, or the dotted path of a licet.validation.Dialect"


def of(value: object) -> Dialect:
    """Return the dialect that the setting `validation_protocol` names.

    Args:
        value: a name, a dialect, a class or function that makes one of nothing, or the dotted
            path of one of these.

    Raises:
        ConfigError: it names none, or one that cannot work.
    """
    made: Any = _at(NAMED.get(value, value)) if isinstance(value, str) else value
    if inspect.isclass(made) or not hasattr(made, "request"):
        made = _make(made)
    return _checked(made)


def _at(path: str) -> Any:
    module, _, name = path.rpartition(".")
    if not module:
        near = get_close_matches(path.lower(), NAMED, n=1)
        remedy = f"did you mean {near[0]}?" if near else _REMEDY
        raise ConfigError(_SETTING, "names no protocol", remedy)
    try:
        return getattr(import_module(module), name)
    except ConfigError:
        raise  # What is wrong with the dialect that is made there.
    except Exception as error:
        # The import runs what the application wrote, which can fail in any way.
        problem = f"cannot be imported ({type(error).__name__})"
        raise ConfigError(_SETTING, problem, _REMEDY) from error


def _make(factory: Any) -> Any:
    if not callable(factory):
        raise ConfigError(_SETTING, "is no dialect", _REMEDY)
    try:
        return factory()
    except ConfigError:
        raise
    except Exception as error:
        problem = f"cannot be made without arguments ({type(error).__name__})"
        remedy = "make it in a module, and write the dotted path of what was made"
        raise ConfigError(_SETTING, problem, remedy) from error


def _checked(made: Any) -> Dialect:
    methods = [getattr(made, name, None) for name in ("request", "read")]
    if not all(map(callable, methods)) or not isinstance(getattr(made, "asks_domain", None), bool):
        raise ConfigError(_SETTING, "is no dialect", _REMEDY)
    if any(map(inspect.iscoroutinefunction, methods)):
        problem = "has a coroutine among its methods"
        raise ConfigError(_SETTING, problem, "a dialect waits for nothing: write plain methods")
    if getattr(type(made), "__repr__", None) is object.__repr__:
        # Settings are compared by how they are written, and processes with each other.
        problem = "has a repr that is another in every process"
        raise ConfigError(_SETTING, problem, "make the dialect a frozen dataclass")
    dialect: Dialect = made
    return dialect
