"""The page of a link that works once: the first operator's, an invitation, or a new password."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from audit.actions import Action
from console.account import lockout, session_records
from console.account.invitations import OWN_INVITATION, is_vouched_for
from console.account.password_policy import in_words, policy_of
from console.account.sign_in import complete_sign_in, too_many_tries
from console.authorization import before_sign_in
from console.forms import AddressField, ConsoleForm
from tenants.accounts import password_reset
from tenants.accounts.password_reset import NotTheirs
from tenants.models import Link, User
from tenants.models.link import AlreadyUsed, OwnInvitation, Purpose, WrongPassword
from tenants.models.tenant import OperatorsStayOut

_NEW = {"autocomplete": "new-password"}


def _password(label: Promise, attrs: Mapping[str, Any], **options: Any) -> forms.CharField:
    widget = forms.PasswordInput(attrs=dict(attrs))
    return forms.CharField(**{"label": label, "strip": False, "widget": widget, **options})


class PresentPasswordForm(ConsoleForm):
    """Asks for the password of an existing account: the link alone must not open it."""

    email = forms.EmailField(widget=forms.HiddenInput, required=False)
    password = _password(
        _("Current password"), {"autocomplete": "current-password", "autofocus": True}
    )


class NewPasswordForm(ConsoleForm):
    email = AddressField(widget=forms.EmailInput(attrs={"autocomplete": "username"}))
    name = forms.CharField(
        label=_("Your name"),
        required=False,
        max_length=120,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    password = _password(_("Password"), _NEW)
    again = _password(_("Password again"), _NEW)

    def __init__(self, data: Any, link: Link) -> None:
        super().__init__(data)
        self.link = link
        if link.email:
            self.fields["email"].disabled = True
            self.fields["email"].initial = link.email
        person = self._person()
        self.fields["password"].help_text = in_words(policy_of(person, *person.joining))

    def clean(self) -> dict[str, Any]:
        fields = self.cleaned_data
        # A refused one is not among them, and has its own message.
        if "password" in fields and fields["password"] != fields.get("again"):
            self.add_error("again", _("The two passwords are not the same."))
        return fields

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        validate_password(password, self._person())
        return password

    def _person(self) -> User:
        """Returns the person with the profiles that will bind them."""
        fields = getattr(self, "cleaned_data", {})  # none before the form is checked
        person = User(email=fields.get("email", ""), name=fields.get("name", ""))
        person.is_operator = self.link.purpose == Purpose.FIRST_RUN
        person.joining = (self.link.tenant.profile,) if self.link.tenant else ()
        return person


class ResetForm(NewPasswordForm):
    """Sets the password of an account that exists."""

    name = None  # type: ignore[assignment]

    def _person(self) -> User:
        return User.objects.get(email=self.link.email.lower())


@sensitive_post_parameters("password", "again")
@never_cache
@before_sign_in
def welcome(request: HttpRequest, token: str) -> HttpResponse:
    link = Link.objects.by_token(token)
    if link is None:
        return _link_gone(request)
    account = link.account(request.POST.get("email", ""))
    _refuse_issuer(request, link, account)
    if account and account == request.user and is_vouched_for(account):
        return redirect("console:account")  # the invitation is shown there
    form = _form(request, link, account)
    if form.is_bound and form.is_valid():
        try:
            user = _use_link(request, link, account, form.cleaned_data)
            return complete_sign_in(request, user)
        except lockout.LockedOut as lockout_error:
            session_records.record_locked(request, account, just_now=lockout_error.just_now)
            return too_many_tries(request)
        except (AlreadyUsed, NotTheirs):
            return _link_gone(request)
        except IntegrityError:  # another link for this address was used in the same moment
            form.add_error(None, ValidationError(_("Please send it once more.")))
        except OperatorsStayOut:
            form.add_error(None, ValidationError(_("Operators cannot join this tenant.")))
        except OwnInvitation:
            form.add_error(None, ValidationError(OWN_INVITATION))
        except WrongPassword:
            session_records.record(Action.SESSION_DENIED, request, account)
            form.add_error("password", ValidationError(_("That is not this account's password.")))
    context = {"form": form, "link": link, "account": account, "locks": _locks_texts(link)}
    return render(request, "console/welcome.html", context)


def _refuse_issuer(request: HttpRequest, link: Link, account: User | None) -> None:
    """Raises PermissionDenied if the invitation's issuer follows its link themselves."""
    if account or link.purpose != Purpose.INVITATION or not request.user.is_authenticated:
        return
    if link.made_by(request.user):
        text = _("You made this invitation. Its link is for %(email)s: send it to them.")
        raise PermissionDenied(text % {"email": link.email})


def _use_link(
    request: HttpRequest, link: Link, account: User | None, fields: dict[str, Any]
) -> User:
    """Return the person of the link. Raises as Link.use and password_reset.use, and LockedOut."""
    if link.purpose == Purpose.RESET:
        return password_reset.use(link, fields["password"])
    entries = lockout.count_try(request, account.email) if account else []
    user = link.use(fields["email"], fields["password"], fields.get("name", ""))
    lockout.forgive(entries)
    return user


def _form(request: HttpRequest, link: Link, account: User | None) -> ConsoleForm:
    data = request.POST if request.method == "POST" else None
    if link.purpose == Purpose.RESET:
        return ResetForm(data, link)
    return PresentPasswordForm(data) if account else NewPasswordForm(data, link)


def _locks_texts(link: Link) -> bool:
    """Returns whether the new password locks older texts: another person made this link."""
    user = User.objects.filter(email=link.email.lower()).first()
    return link.purpose == Purpose.RESET and bool(user and not link.is_own(user))


def _link_gone(request: HttpRequest) -> HttpResponse:
    return render(request, "console/welcome_gone.html", status=410)
