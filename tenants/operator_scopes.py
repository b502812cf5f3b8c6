"""The scopes of operators' keys: what a program may do to the platform, in no operator's person."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class OperatorScope(models.TextChoices):
    """Reading and writing are apart, as in the scopes of tenants' keys."""

    ENGINES_READ = "engines:read", _("Engines: read")
    ENGINES_WRITE = "engines:write", _("Engines: write")
    POOLS_READ = "pools:read", _("Models and pools: read")
    POOLS_WRITE = "pools:write", _("Models and pools: write")
    PRICES_READ = "prices:read", _("Prices: read")
    PRICES_WRITE = "prices:write", _("Prices: write")
    LIMITS_READ = "limits:read", _("Limits of tenants and tiers: read")
    LIMITS_WRITE = "limits:write", _("Limits of tenants and tiers: write")
