"""Settings as somebody writes them: made, or refused by name and with a remedy."""

from __future__ import annotations

from typing import Any

import pytest

from licet.core.errors import ConfigError
from licet.core.settings import Settings
from tests.licenses import OPTIONS


def made(**changes: Any) -> Settings:
    """Return settings without a network."""
    return Settings(**{**OPTIONS, **changes})


def refused(**changes: Any) -> ConfigError:
    """Return why these settings are none."""
    with pytest.raises(ConfigError) as error:
        made(**changes)
    assert error.value.remedy
    return error.value
