"""What counts as a valid license here: every option, how it is read, and what is refused of it."""

from licet.core.settings.issuers import IssuerSettings
from licet.core.settings.settings import Settings

__all__ = ["IssuerSettings", "Settings"]
