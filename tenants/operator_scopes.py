"""The scopes of operators' keys, with which programs administer the platform."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class OperatorScope(models.TextChoices):
    """Scopes of operators' keys, separate for reading and writing as in tenants' keys."""

    ENGINES_READ = "engines:read", _("Engines: read")
    ENGINES_WRITE = "engines:write", _("Engines: write")
    POOLS_READ = "pools:read", _("Models and pools: read")
    POOLS_WRITE = "pools:write", _("Models and pools: write")
    PRICES_READ = "prices:read", _("Prices: read")
    PRICES_WRITE = "prices:write", _("Prices: write")
    LIMITS_READ = "limits:read", _("Limits of tenants and tiers: read")
    LIMITS_WRITE = "limits:write", _("Limits of tenants and tiers: write")
