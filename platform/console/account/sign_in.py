"""Pages to sign in and out, on django-allauth. Each act is on record, refusals too."""

from typing import Any

from allauth.account.forms import LoginForm
from allauth.account.internal.flows.login import record_authentication
from allauth.account.utils import perform_login
from allauth.account.views import LoginView, LogoutView
from allauth.socialaccount.adapter import get_adapter as identity_providers
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _

from console.account.password_policy import policy_of, shortcomings
from console.authorization import signing_in
from console.forms import RelabelledForm
from console.post_only import require_POST
from tenants.accounts.required_actions import NEW_PASSWORD
from tenants.models import User


class SignInForm(RelabelledForm, LoginForm):
    labels = {"login": _("Email address")}
    attrs = {"login": {"autocomplete": "username", "autofocus": True}}

    def clean(self) -> dict[str, Any]:
        """Require a new password if this one no longer meets the policy: only here is it known."""
        fields: dict[str, Any] = super().clean()
        if self.user and shortcomings(fields["password"], policy_of(self.user)):
            self.request.session[NEW_PASSWORD] = self.user.pk
        return fields


class SignInView(LoginView):
    form_class = SignInForm
    template_name = "console/sign_in.html"

    def form_invalid(self, form: SignInForm) -> HttpResponse:
        if hasattr(self.request, "locked_out"):
            return too_many_tries(self.request)
        return super().form_invalid(form)  # type: ignore[no-any-return]

    def get_context_data(self, **shown: Any) -> dict[str, Any]:
        providers = identity_providers(self.request).list_providers(self.request)
        context = {"providers": providers, "mails": settings.MAIL}
        return {**super().get_context_data(**shown), **context}


sign_in = signing_in(SignInView.as_view())
sign_out = require_POST(LogoutView.as_view())


def complete_sign_in(request: HttpRequest, user: User) -> HttpResponse:
    """Sign in a person who has just entered their password elsewhere, after a second factor."""
    record_authentication(request, user, "password", email=user.email)
    response: HttpResponse = perform_login(request, user, redirect_url="/", email=user.email)
    return response


def too_many_tries(request: HttpRequest) -> HttpResponse:
    return render(request, "console/too_many.html", {"minutes": 30}, status=429)
