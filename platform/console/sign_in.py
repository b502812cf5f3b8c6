"""Signing in and out. Each of it, refusals too, is an act on record."""

from django import forms
from django.contrib.auth import login, logout
from django.contrib.auth.forms import AuthenticationForm
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from audit.actions import Action
from console import session_acts
from console.attempts import forget, too_many
from tenants.models import User


class SignInForm(AuthenticationForm):
    error_messages = {
        "invalid_login": _("Email address or password is wrong."),
        "inactive": _("Email address or password is wrong."),
    }

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request, request.POST or None)
        self.fields["username"].widget = forms.EmailInput(
            attrs={"class": "form-control", "autocomplete": "username", "autofocus": True}
        )
        self.fields["password"].widget.attrs["class"] = "form-control"

    def clean_username(self) -> str:
        return str(self.cleaned_data["username"]).lower()


@sensitive_post_parameters("password")
@never_cache
def sign_in(request: HttpRequest) -> HttpResponse:
    onward = _safe_next(request)
    if request.user.is_authenticated:
        return redirect(onward)
    form = SignInForm(request)
    if form.is_bound and too_many(request, str(form.data.get("username", ""))):
        return render(request, "console/too_many.html", status=429)
    if form.is_valid():
        enter(request, form.get_user())
        forget(form.get_user().email)
        return redirect(onward)
    if form.is_bound:
        email = form.data.get("username", "").strip().lower()
        known = User.objects.filter(email=email).first()
        session_acts.record(Action.SESSION_DENIED, request, known, success=False)
    return render(request, "console/sign_in.html", {"form": form, "next": onward})


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    with transaction.atomic():
        if request.user.is_authenticated:
            session_acts.record(Action.SESSION_LOGOUT, request, request.user, success=True)
        logout(request)
    return redirect("console:sign_in")


def enter(request: HttpRequest, user: User) -> None:
    with transaction.atomic():
        login(request, user, backend="django.contrib.auth.backends.ModelBackend")
        session_acts.record(Action.SESSION_LOGIN, request, user, success=True)


def _safe_next(request: HttpRequest) -> str:
    onward = request.POST.get("next") or request.GET.get("next") or "/"
    ours = url_has_allowed_host_and_scheme(
        onward, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return onward if ours else "/"
