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
from console.account.second_factors import factor_secrets
from console.forms import StyledField

LAST_STEP = "last_step"  # in the row: the newest time step whose code was used


class _CodeForm:
    """Mixed into allauth's forms that take a code of `self.user`."""

    bound_field_class = StyledField

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        code = self.fields["code"]  # type: ignore[attr-defined]
        code.label = _("Code")
        code.widget.attrs.update(autofocus=True, maxlength=20)
        code.widget.attrs.pop("placeholder", None)

    def clean_code(self) -> str:
        """Raises ValidationError when the code is wrong, used up, or one too many."""
        user, request = self.user, context.request  # type: ignore[attr-defined]
        try:
            entries = lockout.count_try(request, user.email, "code")
        except lockout.LockedOut as locked:
            session_records.record_locked(request, user, just_now=locked.just_now)
            raise AccountAdapter(request).validation_error("too_many_login_attempts") from None
        with factor_secrets.secrets_of(user.pk):
            code = self._correct_code(request)
        lockout.forgive(entries)
        return code

    def _correct_code(self, request: Any) -> str:
        try:
            code: str = super().clean_code()  # type: ignore[misc]
            if self.authenticator.type == Authenticator.Type.TOTP:  # type: ignore[attr-defined]
                use_up(self.authenticator, code)  # type: ignore[attr-defined]
        except Exception:
            session_records.record(
                Action.SESSION_DENIED,
                request,
                self.user,  # type: ignore[attr-defined]
                success=False,
                detail={"why": "code"},
            )
            raise
        return code


class CodeAtSignIn(_CodeForm, AuthenticateForm):
    def save(self) -> None:
        super().save()
        note_recovery(context.request, self.authenticator)


class CodeAsProof(_CodeForm, ReauthenticateForm):
    def save(self) -> None:
        super().save()
        note_recovery(context.request, self.authenticator)


class FirstCode(ActivateTOTPForm):
    bound_field_class = StyledField

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["code"].label = _("Code that the app shows now")
        self.fields["code"].widget.attrs.update(autofocus=True, inputmode="numeric")
        self.fields["code"].widget.attrs.pop("placeholder", None)


class NewKey(AddWebAuthnForm):
    bound_field_class = StyledField

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].label = _("Name")
        self.fields["name"].max_length = 60
        self.fields["name"].widget.attrs["maxlength"] = "60"


class KeyName(EditWebAuthnForm):
    bound_field_class = StyledField


def note_recovery(request: Any, authenticator: Authenticator) -> None:
    if authenticator.type == Authenticator.Type.RECOVERY_CODES:
        user = authenticator.user
        authenticator.refresh_from_db()  # allauth marks the code in a row that it fetched itself
        with factor_secrets.secrets_of(user.pk):
            unused = len(authenticator.wrap().get_unused_codes())
        session_records.record(
            Action.MFA_USE_RECOVERY, request, user, success=True, detail={"left": unused}
        )


def use_up(authenticator: Authenticator, code: str) -> None:
    """Mark the code's time step as used: a code opens once within its minute and a half.

    Raises ValidationError for a wrong or used code.
    """
    secret = factor_secrets.decrypt(authenticator.data["secret"])
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
