"""Hooks of django-allauth: signing in and out, passwords, addresses of clients."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.flows.login import get_authentication_records
from allauth.core.exceptions import ImmediateHttpResponse
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from console.account import lockout, session_limits, session_records
from console.client_network import client_ip
from tenants.accounts.required_actions import NEW_PASSWORD
from tenants.accounts.sessions import end_sessions
from tenants.models import NoticePreference, User


class AccountAdapter(DefaultAccountAdapter):
    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "email_password_mismatch": _("Email address or password is wrong."),
        "too_many_login_attempts": _("Too many attempts. Wait, then try again."),
    }

    # Nobody comes in without an invitation -------------------------------------------------------
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    # Passwords -----------------------------------------------------------------------------------
    def authenticate(self, request: HttpRequest, **credentials: Any) -> User | None:
        """Refuse a closed account like a wrong password: nobody learns which it was."""
        user: User | None = super().authenticate(request, **credentials)
        if user and not user.is_active:
            self.authentication_failed(request, **credentials)
            return None
        if user:
            lockout.forgive(getattr(request, "password_try", []))
        return user

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        user = User.objects.filter(email=str(credentials.get("email", "")).lower()).first()
        lockout_error = getattr(request, "locked_out", None)
        if lockout_error:
            session_records.record_locked(request, user, just_now=lockout_error.just_now)
        else:
            session_records.record(Action.SESSION_DENIED, request, user)

    def set_password(self, user: User, password: str) -> None:
        """Set the password and end every other session of the person."""
        with transaction.atomic():
            user.take_password(password)
            end_sessions(user, keep=self.request.session.session_key)
            session_records.record(Action.PASSWORD_CHANGE, self.request, user)
        self.request.session.pop(NEW_PASSWORD, None)

    # Sessions ------------------------------------------------------------------------------------
    def login(self, request: HttpRequest, user: User) -> None:
        if _password_changed_since(request, user):
            raise ImmediateHttpResponse(redirect("account_login"))
        detail = {"new_device": True} if _is_new_device(request, user) else {}
        with transaction.atomic():
            super().login(request, user)
            session_records.record(Action.SESSION_LOGIN, request, user, detail)
            NoticePreference.note_language(user, get_language() or settings.LANGUAGE_CODE)
        session_limits.begin(request, user)
        for record in get_authentication_records(request, user):
            record["reauthenticated"] = True  # a sign-in is a proof of identity
        request.session.modified = True

    def post_login(self, request: HttpRequest, user: User, **about: Any) -> HttpResponse:
        """Remember the device, however the person signed in: by a factor, link or provider."""
        response: HttpResponse = super().post_login(request, user, **about)
        lockout.remember_device(request, response, user)
        return response

    def logout(self, request: HttpRequest) -> None:
        with transaction.atomic():
            user = request.user if isinstance(request.user, User) else None
            if user:
                session_records.record(Action.SESSION_LOGOUT, request, user)
            super().logout(request)

    # Requests ------------------------------------------------------------------------------------
    def get_client_ip(self, request: HttpRequest) -> str:
        return client_ip(request) or lockout.NOWHERE

    def is_safe_url(self, url: str) -> bool:
        """Returns whether a URL is on this very host."""
        return url_has_allowed_host_and_scheme(
            url, {self.request.get_host()}, require_https=self.request.is_secure()
        )

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return "/account/"


def _is_new_device(request: HttpRequest, user: User) -> bool:
    """Returns whether an account that was used before has its first sign-in from a device."""
    return user.last_login is not None and not lockout.known_device(request, user.email)


def _password_changed_since(request: HttpRequest, user: User) -> bool:
    """Returns whether the password changed while the second factor was awaited."""
    records = get_authentication_records(request, user)
    entered_at = [float(record["at"]) for record in records if record["method"] == "password"]
    return bool(entered_at) and max(entered_at) < user.password_changed_at.timestamp()
