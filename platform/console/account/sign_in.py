"""Signing in and out, on django-allauth. Each of it, refusals too, is an act on record."""

from typing import Any

from allauth.account.forms import LoginForm
from allauth.account.internal.flows.login import record_authentication
from allauth.account.utils import perform_login
from allauth.account.views import LoginView, LogoutView
from allauth.socialaccount.adapter import get_adapter as identity_providers
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _

from console.account.password_policy import lacks, policy_of
from console.acts_only import require_POST
from console.authorization import signing_in
from console.forms import StyledField
from tenants.accounts.required_actions import NEW_PASSWORD
from tenants.models import User


class SignInForm(LoginForm):
    bound_field_class = StyledField

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        login = self.fields["login"]
        login.label = _("Email address")
        login.widget.attrs.update(autocomplete="username", autofocus=True)
        for field in self.fields.values():
            field.widget.attrs.pop("placeholder", None)
            field.help_text = ""

    def clean(self) -> dict[str, Any]:
        """The only moment when we see the password: is it still good enough for its person?"""
        given: dict[str, Any] = super().clean()
        if self.user and lacks(given["password"], policy_of(self.user)):
            self.request.session[NEW_PASSWORD] = self.user.pk
        return given


class SignInView(LoginView):
    form_class = SignInForm
    template_name = "console/sign_in.html"

    def form_invalid(self, form: SignInForm) -> HttpResponse:
        if hasattr(self.request, "locked_out"):
            return locked(self.request)
        return super().form_invalid(form)  # type: ignore[no-any-return]

    def get_context_data(self, **shown: Any) -> dict[str, Any]:
        providers = identity_providers(self.request).list_providers(self.request)
        return {**super().get_context_data(**shown), "providers": providers}


sign_in = signing_in(SignInView.as_view())
sign_out = require_POST(LogoutView.as_view())


def enter(request: HttpRequest, user: User, onward: str = "/") -> HttpResponse:
    """For who has just shown a password elsewhere: on to the second factor, or in."""
    record_authentication(request, user, "password", email=user.email)
    response: HttpResponse = perform_login(request, user, redirect_url=onward, email=user.email)
    return response


def locked(request: HttpRequest) -> HttpResponse:
    return render(request, "console/too_many.html", {"minutes": 30}, status=429)
