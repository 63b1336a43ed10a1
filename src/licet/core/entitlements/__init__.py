"""What a request may do: the view of its license, where code finds it, and what views demand."""

from licet.core.entitlements.entitlements import UNLIMITED, Entitlements, Kind, Status

__all__ = ["UNLIMITED", "Entitlements", "Kind", "Status"]
