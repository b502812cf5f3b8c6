"""Actions that a person must complete first: a new password, a second factor."""

from django.contrib.sessions.backends.base import SessionBase

from tenants.accounts import second_factor_policy
from tenants.models.user import User

NEW_PASSWORD = "new_password_of"  # noqa: S105 session key: the id of the user who must change it
PASSWORD_PAGE, SECOND_FACTOR_PAGE = "account_change_password", "mfa_index"


def duty(session: SessionBase, user: User) -> str:
    """Returns the name of the page that must be completed first, or ""."""
    if session.get(NEW_PASSWORD) == user.pk:
        return PASSWORD_PAGE
    return SECOND_FACTOR_PAGE if second_factor_policy.must_enrol(user) else ""
