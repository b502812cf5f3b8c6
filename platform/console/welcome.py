"""A link that works once: the first operator's, or an invitation into a tenant."""

from typing import Any

from django import forms
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from audit.actions import Action
from console import session_acts
from console.attempts import too_many
from console.forms import ConsoleForm
from console.sign_in import enter
from tenants.models import Link, User
from tenants.models.link import AlreadyUsed, WrongPassword


class PresentPasswordForm(ConsoleForm):
    """For an address that has an account: the link alone must not open it."""

    email = forms.EmailField(widget=forms.HiddenInput, required=False)
    password = forms.CharField(
        label=_("Current password"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True}),
    )


class NewPasswordForm(ConsoleForm):
    email = forms.EmailField(
        label=_("Email address"), widget=forms.EmailInput(attrs={"autocomplete": "username"})
    )
    name = forms.CharField(
        label=_("Your name"),
        required=False,
        max_length=120,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    password = forms.CharField(
        label=_("Password"),
        strip=False,
        help_text=_("At least 12 characters. A sentence is fine."),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    again = forms.CharField(
        label=_("Password again"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def __init__(self, data: Any, link: Link) -> None:
        super().__init__(data)
        if link.email:
            self.fields["email"].disabled = True
            self.fields["email"].initial = link.email

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        if given.get("password") != given.get("again"):
            self.add_error("again", _("The two passwords are not the same."))
        return given

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        person = User(
            email=self.cleaned_data.get("email", ""), name=self.cleaned_data.get("name", "")
        )
        validate_password(password, person)
        return password


@sensitive_post_parameters("password", "again")
@never_cache
def welcome(request: HttpRequest, token: str) -> HttpResponse:
    link = Link.objects.by_token(token)
    if link is None:
        return _gone(request)
    account = link.account(request.POST.get("email", ""))
    form = _form(request, link, account)
    if account and form.is_bound and too_many(request, account.email):
        return render(request, "console/too_many.html", status=429)
    if form.is_bound and form.is_valid():
        given = form.cleaned_data
        try:
            enter(request, link.use(given["email"], given["password"], given.get("name", "")))
            return redirect("console:home")
        except AlreadyUsed:
            return _gone(request)
        except IntegrityError:  # another link for this address was used in the same moment
            form.add_error(None, ValidationError(_("Please send it once more.")))
        except WrongPassword:
            session_acts.record(Action.SESSION_DENIED, request, account, success=False)
            form.add_error("password", ValidationError(_("That is not this account's password.")))
    context = {"form": form, "link": link, "account": account}
    return render(request, "console/welcome.html", context)


def _form(request: HttpRequest, link: Link, account: User | None) -> ConsoleForm:
    data = request.POST if request.method == "POST" else None
    return PresentPasswordForm(data) if account else NewPasswordForm(data, link)


def _gone(request: HttpRequest) -> HttpResponse:
    return render(request, "console/welcome_gone.html", status=410)
