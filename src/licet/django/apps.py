"""The Django app: system checks, template tags and the command `license_check`."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import Tags, register


class LicetConfig(AppConfig):
    """Registers the system checks, and nothing else."""

    name = "licet.django"
    label = "licet"
    verbose_name = "Licet"

    def ready(self) -> None:
        """Register the system checks."""
        from licet.django import checks, deployment

        register(checks.check_settings, Tags.security)
        register(checks.check_middleware, Tags.security)
        register(checks.check_receiver, Tags.security)
        register(deployment.check_deployment, Tags.security, deploy=True)
