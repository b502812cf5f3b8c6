"""Codes of second factors: wrong ones are counted like passwords, right ones work once."""

from typing import Any

from allauth.core import context
from allauth.core.internal.cryptokit import compare_user_code
from allauth.mfa.adapter import get_adapter
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.forms import ActivateTOTPForm
from allauth.mfa.totp.internal.auth import (
    format_hotp_value,
    hotp_value,
    yield_hotp_counters_from_time,
)
from allauth.mfa.webauthn.forms import AddWebAuthnForm, EditWebAuthnForm
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from console.account import lockout, session_records
from console.account.adapter import AccountAdapter
from console.account.second_factors import mfa_adapter
from console.forms import RelabelledForm, StyledField
from tenants.models import User

LAST_STEP = "last_step"  # in the row: the newest time step whose code was used


class _CodeForm(RelabelledForm):
    """Mixed into allauth's forms that take a code of `self.user`."""

    labels = {"code": _("Code")}
    attrs = {"code": {"autofocus": True, "maxlength": 20}}
    user: User
    authenticator: Authenticator

    def clean_code(self) -> str:
        """Raises ValidationError when the code is wrong, used up, or one too many."""
        user, request = self.user, context.request
        try:
            entries = lockout.count_try(request, user.email, "code")
        except lockout.LockedOut as locked:
            session_records.record_locked(request, user, just_now=locked.just_now)
            raise AccountAdapter(request).validation_error("too_many_login_attempts") from None
        with mfa_adapter.secrets_of(user.pk):
            code = self._correct_code(request)
        lockout.forgive(entries)
        return code

    def save(self) -> None:
        super().save()  # type: ignore[misc]  # of allauth's form
        _note_recovery(context.request, self.authenticator)

    def _correct_code(self, request: Any) -> str:
        try:
            code: str = super().clean_code()  # type: ignore[misc]
            if self.authenticator.type == Authenticator.Type.TOTP:
                use_up(self.authenticator, code)
        except Exception:
            session_records.record(Action.SESSION_DENIED, request, self.user, {"why": "code"})
            raise
        return code


class CodeAtSignIn(_CodeForm, AuthenticateForm):
    pass


class CodeAsProof(_CodeForm, ReauthenticateForm):
    pass


class FirstCode(RelabelledForm, ActivateTOTPForm):
    labels = {"code": _("Code that the app shows now")}
    attrs = {"code": {"autofocus": True, "inputmode": "numeric"}}


class NewKey(RelabelledForm, AddWebAuthnForm):
    labels = {"name": _("Name")}
    attrs = {"name": {"maxlength": "60"}}


class KeyName(EditWebAuthnForm):
    bound_field_class = StyledField


def _note_recovery(request: Any, authenticator: Authenticator) -> None:
    if authenticator.type == Authenticator.Type.RECOVERY_CODES:
        user = authenticator.user
        authenticator.refresh_from_db()  # allauth marks the code in a row that it fetched itself
        with mfa_adapter.secrets_of(user.pk):
            unused = len(authenticator.wrap().get_unused_codes())
        session_records.record(Action.MFA_USE_RECOVERY, request, user, {"left": unused})


def use_up(authenticator: Authenticator, code: str) -> None:
    """Mark the code's time step as used: a code opens once within its minute and a half.

    Raises ValidationError for a wrong or used code.
    """
    secret = mfa_adapter.decrypt(authenticator.data["secret"])
    with transaction.atomic():
        row = Authenticator.objects.select_for_update().get(pk=authenticator.pk)
        unused = [
            step
            for step in yield_hotp_counters_from_time()
            if step > row.data.get(LAST_STEP, 0)
            and compare_user_code(actual=code, expected=format_hotp_value(hotp_value(secret, step)))
        ]
        if not unused:
            raise get_adapter().validation_error("incorrect_code")
        row.data[LAST_STEP] = max(unused)
        row.save(update_fields=["data"])
    authenticator.data = row.data
