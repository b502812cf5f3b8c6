"""Sign-in with an identity provider (OpenID Connect) for people with an account or an invitation.

The provider is trusted with addresses that it calls verified, in the domains of its entry if it
names any. No account is made for a stranger. Whoever made an account with another person's address
loses it to the person for whom a provider first verifies the address.
"""

import logging
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
from console.account import session_records
from console.account.identity_providers.identity_provider import CheckedAdapter, InvalidAnswer
from console.account.identity_providers.provider_http import ProviderSession
from console.account.invitations import is_vouched_for
from console.authorization import View, signing_in
from infrastructure.postgres.queries import lock
from tenants.accounts import second_factor_policy
from tenants.accounts.sessions import end_sessions
from tenants.models import Link, User
from tenants.scope import system_scope

HOW = "identity provider"
log = logging.getLogger(__name__)


# A provider that is slow holds no more than half of the threads that pages have.
provider_turns = BoundedSemaphore(4)


def _provider_page(step: type[OAuth2LoginView | OAuth2CallbackView]) -> View:
    """Returns the page of a step. A provider's failure sends people back to the sign-in page."""

    def view(request: HttpRequest, provider_id: str) -> HttpResponse:
        if not provider_turns.acquire(blocking=False):
            log.warning("identity provider %s: too many wait for it", provider_id)
            return _sign_in_failed(request)
        try:
            answer: HttpResponse = step.adapter_view(CheckedAdapter(request, provider_id))(request)
            return answer
        except SocialApp.DoesNotExist:
            raise Http404 from None
        except (RequestException, OAuth2Error, LookupError, ValueError) as problem:
            log.warning("identity provider %s failed: %r", provider_id, problem)
            return _sign_in_failed(request)
        finally:
            provider_turns.release()

    return signing_in(view)


def _sign_in_failed(request: HttpRequest) -> HttpResponse:
    session_records.record(Action.SESSION_DENIED, request, None)
    messages.error(request, _("Signing in there did not work. Try again, or use a password."))
    return redirect("account_login")


to_provider = _provider_page(OAuth2LoginView)
callback = _provider_page(OAuth2CallbackView)


class IdentityProviders(DefaultSocialAccountAdapter):
    def get_requests_session(self) -> Session:
        return ProviderSession(app_settings.REQUESTS_TIMEOUT)

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        if sociallogin.state.get("process") != AuthProcess.LOGIN:
            raise ImmediateHttpResponse(redirect("console:account"))
        if sociallogin.state.get("nonce") != sociallogin.nonce:
            raise ImmediateHttpResponse(_sign_in_failed(request))
        if not sociallogin.is_existing:
            self._connect_invited(sociallogin)
        elif sociallogin.user.is_active and not is_vouched_for(sociallogin.user):
            self._drop_credentials(request, sociallogin.user)
        if not sociallogin.is_existing or not sociallogin.user.is_active:
            user = sociallogin.user if sociallogin.is_existing else None
            session_records.record(Action.SESSION_DENIED, request, user)
            messages.error(request, _("There is no account or invitation for you here."))
            raise ImmediateHttpResponse(redirect("account_login"))

    def _connect_invited(self, sociallogin: SocialLogin) -> None:
        """Connect an invited person to an account, made if need be. Nothing is accepted yet."""
        emails = [e.email for e in sociallogin.email_addresses if e.verified]
        with system_scope():
            for email in emails:
                if not self.can_authenticate_by_email(sociallogin, email):
                    continue
                if Link.objects.waiting_for(email):
                    self._connect(sociallogin, email)
                    return

    def _connect(self, sociallogin: SocialLogin, email: str) -> None:
        """Of two callbacks at once, the second one finds what the first one made."""
        with transaction.atomic():
            lock(f"invited:{email.lower()}")
            sociallogin.lookup()
            if sociallogin.is_existing:
                return
            account = User.objects.filter(email=email.lower()).first()
            sociallogin.connect(self.request, account or User.objects.create_user(email))

    def _drop_credentials(self, request: HttpRequest, user: User) -> None:
        """Remove password, factors and sessions that were set before the address was ever verified.

        An operator's factors stay: no invitation makes an operator.
        """
        with transaction.atomic():
            if not user.is_operator and Authenticator.objects.filter(user_id=user.pk).exists():
                second_factor_policy.reset(user, by="", how=HOW)
            if user.has_usable_password():
                user.set_unusable_password()
                user.save(update_fields=["password"])
                session_records.record(Action.PASSWORD_CHANGE, request, user, detail={"how": HOW})
            end_sessions(user)

    def can_authenticate_by_email(self, login: SocialLogin, email: str) -> bool:
        """Returns whether the provider verifies the address. Some write "false", a true string."""
        if not any(
            e.email == email and e.verified in (True, "true") for e in login.email_addresses
        ):
            return False
        domains = login.provider.app.settings.get("domains") or []
        return not domains or email.rpartition("@")[2].lower() in domains

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return False

    def on_authentication_error(self, request: HttpRequest, provider: Any, **about: Any) -> None:
        """Return to the sign-in page: the provider is away, or its answer is invalid.

        Other errors are logged by their kind alone: allauth puts the provider's answer into them.
        """
        problem = about.get("exception")
        if problem:
            reason = problem if isinstance(problem, InvalidAnswer) else type(problem).__name__
            log.warning("identity provider %s failed: %s", provider.app.provider_id, reason)
        raise ImmediateHttpResponse(_sign_in_failed(request))

    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None) -> User:
        raise ImmediateHttpResponse(redirect("account_login"))
