"""What Django's settings say of licenses: read when first asked for, and kept.

A change of a `LICET_` setting (`override_settings`, pytest-django's `settings`) is seen at the
next request, also by handlers that stand already. Equal settings share one gate.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, TypeAlias

from asgiref.sync import iscoroutinefunction
from django.conf import settings as django_settings
from django.core.signals import setting_changed
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.module_loading import import_string

from licet.core.environ import EnvironMemory
from licet.core.errors import ConfigError, LicenseError
from licet.core.gate import Gate
from licet.core.gates import gate_for
from licet.core.settings import Settings
from licet.core.settings.spellings import PREFIX
from licet.django.request import DjangoFacts

ErrorResponse: TypeAlias = Callable[[HttpRequest, LicenseError], HttpResponseBase]


class Licensing(NamedTuple):
    """The settings, and what was made of them.

    Attributes:
        settings: the `LICET_` settings, checked.
        gate: this process's gate for them.
        memory: its short way for requests that it remembers.
        exempts_paths: whether any path needs no license.
        error_response: the function that `LICET_ERROR_RESPONSE` names.
    """

    settings: Settings
    gate: Gate
    memory: EnvironMemory
    exempts_paths: bool
    error_response: ErrorResponse | None


@cache
def licensing() -> Licensing:
    """Return what the settings of this Django project say.

    Raises:
        ConfigError: settings that cannot work.
    """
    settings = Settings.from_mapping(
        {
            name: getattr(django_settings, name)
            for name in dir(django_settings)
            if name.startswith(PREFIX)
        }
    )
    gate = gate_for(settings)
    return Licensing(
        settings,
        gate,
        EnvironMemory(gate, DjangoFacts),
        bool(gate.exempt_paths),
        _error_response(settings.error_response),
    )


def _error_response(path: str | None) -> ErrorResponse | None:
    if path is None:
        return None
    remedy = "write the dotted path of a function (request, error) -> response"
    try:
        function: ErrorResponse = import_string(path)
    except ImportError as error:
        raise ConfigError("error_response", f"cannot be imported ({error})", remedy) from error
    if not callable(function) or iscoroutinefunction(function):
        raise ConfigError("error_response", "names no synchronous function", remedy)
    return function


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting.startswith(PREFIX):
        licensing.cache_clear()


setting_changed.connect(_forget)
