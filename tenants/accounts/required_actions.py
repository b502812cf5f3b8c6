"""What a person must do before anything else opens for them: a new password, a second factor."""

from django.contrib.sessions.backends.base import SessionBase

from tenants.accounts import second_factor
from tenants.models.user import User

NEW_PASSWORD = "new_password_of"  # noqa: S105 in the session: whose password must be changed
PASSWORD_PAGE, SECOND_FACTOR_PAGE = "account_change_password", "mfa_index"


def duty(session: SessionBase, user: User) -> str:
    """The name of the page that they must do first, or ""."""
    if session.get(NEW_PASSWORD) == user.pk:
        return PASSWORD_PAGE
    return SECOND_FACTOR_PAGE if second_factor.owed(user) else ""
