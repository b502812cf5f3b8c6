"""Signing in by an identity provider (OpenID Connect): only who was invited, or has an account.

The provider is believed about an address of email that it calls verified, and only about the
domains that its entry names, if it names any. An account is never made for a stranger, and whoever
made one of an address that was not theirs loses it to whom the first provider vouches for.
"""

import logging
from collections.abc import Callable
from functools import wraps
from threading import BoundedSemaphore
from typing import Any

from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.models import Authenticator
from allauth.socialaccount import app_settings
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialApp, SocialLogin
from allauth.socialaccount.providers.base.constants import AuthProcess
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView
from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from requests import RequestException, Session

from audit.actions import Action
from console.account import session_acts
from console.account.identity_provider import Conversation, Nonsense
from console.account.invitations import is_vouched_for
from console.account.provider_http import ProviderSession
from console.authorization import signing_in
from tenants.accounts import second_factor
from tenants.accounts.sessions import end_sessions
from tenants.models import Link, User
from tenants.scope import system_scope

HOW = "identity provider"
log = logging.getLogger(__name__)


View = Callable[..., HttpResponse]
# A provider that is slow holds no more than half of the threads that pages have.
conversations = BoundedSemaphore(4)


def _or_back(view: View) -> View:
    """A provider that does not answer, or answers nonsense, is no error of ours."""

    @wraps(view)
    def tried(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        if not conversations.acquire(blocking=False):
            log.warning("identity provider %s: too many wait for it", kwargs.get("provider_id"))
            return _did_not_work(request)
        try:
            return view(request, **kwargs)
        except (RequestException, OAuth2Error, LookupError, ValueError) as problem:
            log.warning("identity provider %s failed: %r", kwargs.get("provider_id"), problem)
            return _did_not_work(request)
        finally:
            conversations.release()

    return tried


def _did_not_work(request: HttpRequest) -> HttpResponse:
    session_acts.record(Action.SESSION_DENIED, request, None, success=False)
    messages.error(request, _("Signing in there did not work. Try again, or use a password."))
    return redirect("account_login")


def _conversation(step: type[OAuth2LoginView | OAuth2CallbackView]) -> View:
    def view(request: HttpRequest, provider_id: str) -> HttpResponse:
        try:
            answer: HttpResponse = step.adapter_view(Conversation(request, provider_id))(request)
        except SocialApp.DoesNotExist:
            raise Http404 from None
        return answer

    return view


go_there = signing_in(_or_back(_conversation(OAuth2LoginView)))
come_back = signing_in(_or_back(_conversation(OAuth2CallbackView)))


class IdentityProviders(DefaultSocialAccountAdapter):
    def get_requests_session(self) -> Session:
        return ProviderSession(app_settings.REQUESTS_TIMEOUT)

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        if sociallogin.state.get("process") != AuthProcess.LOGIN:
            raise ImmediateHttpResponse(redirect("console:account"))
        if sociallogin.state.get("nonce") != sociallogin.nonce:
            raise ImmediateHttpResponse(_did_not_work(request))
        if not sociallogin.is_existing:
            self._welcome(sociallogin)
        elif sociallogin.user.is_active and not is_vouched_for(sociallogin.user):
            self._hand_over(request, sociallogin.user)
        if not sociallogin.is_existing or not sociallogin.user.is_active:
            known = sociallogin.user if sociallogin.is_existing else None
            session_acts.record(Action.SESSION_DENIED, request, known, success=False)
            messages.error(request, _("There is no account or invitation for you here."))
            raise ImmediateHttpResponse(redirect("account_login"))

    def _welcome(self, sociallogin: SocialLogin) -> None:
        """Makes an account of whom somebody waits for. Which invitations they accept they say."""
        emails = [e.email for e in sociallogin.email_addresses if e.verified]
        with system_scope():
            for email in emails:
                if not self.can_authenticate_by_email(sociallogin, email):
                    continue
                if Link.objects.waiting_for(email):
                    known = User.objects.filter(email=email.lower()).first()
                    user = known or User.objects.create_user(email)
                    sociallogin.user = user
                    sociallogin.connect(self.request, user)
                    return

    def _hand_over(self, request: HttpRequest, user: User) -> None:
        """Nobody has shown yet that the address is theirs: what somebody set there is dropped, all
        ways in and all sessions. An operator's factors stay: no invitation makes one.
        """
        with transaction.atomic():
            if not user.is_operator and Authenticator.objects.filter(user_id=user.pk).exists():
                second_factor.reset(user, by="", how=HOW)
            if user.has_usable_password():
                user.set_unusable_password()
                user.save(update_fields=["password"])
                session_acts.record(
                    Action.PASSWORD_CHANGE, request, user, success=True, detail={"how": HOW}
                )
            end_sessions(user)

    def can_authenticate_by_email(self, login: SocialLogin, email: str) -> bool:
        """Some providers write "false", which is true for Python."""
        if not any(
            e.email == email and e.verified in (True, "true") for e in login.email_addresses
        ):
            return False
        domains = login.provider.app.settings.get("domains") or []
        return not domains or email.rpartition("@")[2].lower() in domains

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return False

    def on_authentication_error(self, request: HttpRequest, provider: Any, **about: Any) -> None:
        """The provider is away, or answered nonsense: back to the password.

        Of other errors the log has the kind alone: allauth puts the provider's answer into them.
        """
        problem = about.get("exception")
        if problem:
            reason = problem if isinstance(problem, Nonsense) else type(problem).__name__
            log.warning("identity provider %s failed: %s", provider.app.provider_id, reason)
        raise ImmediateHttpResponse(_did_not_work(request))

    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None) -> User:
        raise ImmediateHttpResponse(redirect("account_login"))
