"""Makes keys for operators: an act of a person who has a second factor."""

from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from tenants.accounts import second_factor_policy
from tenants.models import OperatorKey, User


def refuse_unless_able(maker: User) -> None:
    """Raises ValidationError, except for operators who have a second factor."""
    if not (maker.is_operator and maker.is_active):
        raise ValidationError(_("Only operators of the platform make such keys."))
    if not second_factor_policy.enrolled(maker):
        raise ValidationError(
            _("Set up a second factor first: a key for operators needs one at its making.")
        )


def make(
    maker: User, name: str, *, scopes: list[str], expires_at: datetime, **settings: Any
) -> tuple[OperatorKey, str]:
    """Returns the new key and its text. Raises ValidationError, also without a second factor.

    `settings`: `allowed_networks`, `requests_per_minute`. This act requires a second factor even if
    the installation makes them optional (FOREBAY_MFA=optional).
    """
    refuse_unless_able(maker)
    return OperatorKey.issue(maker, name, scopes=scopes, expires_at=expires_at, **settings)
