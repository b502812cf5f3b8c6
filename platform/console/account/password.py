"""Pages to change one's password, and to prove one's identity with it."""

from typing import Any

from allauth.account.decorators import reauthentication_required
from allauth.account.forms import ChangePasswordForm, ReauthenticateForm, SetPasswordForm
from allauth.account.views import PasswordChangeView, PasswordSetView, ReauthenticateView
from django.http import HttpResponse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _

from console.account import lockout
from console.account.adapter import AccountAdapter
from console.account.password_policy import in_words, policy_of
from console.account.reauthentication import recently_proven
from console.authorization import own_page
from console.forms import RelabelledForm
from tenants.accounts.required_actions import NEW_PASSWORD


class _WithPolicy(RelabelledForm):
    """Says beside the field what the new password must be."""

    user: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password1"].help_text = in_words(policy_of(self.user))


class NewPassword(_WithPolicy, SetPasswordForm):
    """A first password for a person who came by an identity provider."""

    labels = {"password1": _("New password"), "password2": _("New password again")}


class ChangedPassword(_WithPolicy, ChangePasswordForm):
    labels = {"oldpassword": _("Current password"), **NewPassword.labels}

    def clean_oldpassword(self) -> str:
        """Count the try like a sign-in: an open session is no place to guess."""
        try:
            entries = lockout.count_try(self.request, self.user.email)
        except lockout.LockedOut:
            raise AccountAdapter(self.request).validation_error("too_many_login_attempts") from None
        old: str = super().clean_oldpassword()
        lockout.forgive(entries)
        return old


class Proof(RelabelledForm, ReauthenticateForm):
    labels = {"password": _("Password")}
    attrs = {"password": {"autofocus": True}}


class _PolicyAndDevice:
    """Says whether a new password is owed, and keeps the device known after the change."""

    request: Any

    def form_valid(self, form: Any) -> HttpResponse:
        response: HttpResponse = super().form_valid(form)  # type: ignore[misc]
        lockout.remember_device(self.request, response, form.user)
        return response

    def get_context_data(self, **shown: Any) -> dict[str, Any]:
        user = self.request.user
        context: dict[str, Any] = super().get_context_data(**shown)  # type: ignore[misc]
        owed = self.request.session.get(NEW_PASSWORD) == user.pk
        return {**context, "profile": user.profile(), "owed": owed}


class Change(_PolicyAndDevice, PasswordChangeView):
    form_class = ChangedPassword

    def get_form(self, form_class: Any = None) -> Any:
        form = super().get_form(form_class)
        form.request = self.request
        return form


@method_decorator(reauthentication_required(app="allauth.mfa"), name="dispatch")
class SetFirst(_PolicyAndDevice, PasswordSetView):
    form_class = NewPassword


change = own_page(Change.as_view())
set_first = own_page(recently_proven(SetFirst.as_view()))
prove = own_page(ReauthenticateView.as_view(form_class=Proof))
