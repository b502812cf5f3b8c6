"""OpenID Connect as django-allauth speaks it, and what of a provider's answers is believed.

allauth reads them with little suspicion: it prefers the answer about the person to the signed
token without a look whether both are about the same one, takes any value as a name, and lets the
query of our own button choose scopes and parameters of the provider.
"""

import secrets
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from allauth.socialaccount.models import SocialAccount, SocialLogin, SocialToken
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.http import HttpRequest, HttpResponse

Claims = dict[str, Any]
ISSUER = "iss"
LONGEST_SUB = 190  # SocialAccount.uid has 191
LONGEST_EMAIL = 254
LONGEST_REASON = 200
CLOCKS_DIFFER_S = 60
_NONSENSE = (TypeError, AttributeError, LookupError, ValueError, OverflowError, RecursionError)


class Nonsense(OAuth2Error):
    """Names what is wrong with a provider's answer, without its secrets."""


@contextmanager
def _without_nonsense() -> Iterator[None]:
    """Makes Nonsense of what allauth stumbles over: lists for objects, endless numbers."""
    try:
        yield
    except _NONSENSE as problem:
        raise Nonsense(f"its answer is none: {problem!r}"[:LONGEST_REASON]) from problem


class Conversation(OpenIDConnectOAuth2Adapter):
    """Asks the provider, and checks what it says."""

    @property
    def openid_config(self) -> Claims:
        with _without_nonsense():
            config: Claims = super().openid_config
            for name in ("authorization_endpoint", "token_endpoint", "userinfo_endpoint"):
                if not config[name].startswith(("https://", "http://")):
                    raise ValueError(name)
        return config

    @property
    def basic_auth(self) -> bool:
        with _without_nonsense():
            return bool(super().basic_auth)

    def get_access_token_data(self, *args: Any, **options: Any) -> Claims:
        with _without_nonsense():
            token: Claims = super().get_access_token_data(*args, **options)
            if not isinstance(token["id_token"], str):
                raise ValueError("id_token")
        return token

    def parse_token(self, data: Claims) -> SocialToken:
        with _without_nonsense():
            return super().parse_token(data)

    def complete_login(
        self, request: HttpRequest, app: Any, token: SocialToken, **options: Any
    ) -> SocialLogin:
        """Nothing of the claims is kept but the person's `sub`, and whose it is."""
        with _without_nonsense():
            login = super().complete_login(request, app, token, **options)
            claims = login.account.extra_data
            _check(claims["id_token"], claims.get("userinfo"), app.client_id)
        login.nonce = claims["id_token"].get("nonce")
        login.account.extra_data = {ISSUER: claims["id_token"][ISSUER]}
        _rename_namesake(login.account)
        return login


class IdentityProvider(OpenIDConnectProvider):
    oauth2_adapter_class = Conversation

    def extract_uid(self, data: Claims) -> str:
        """Raises ValueError for a `sub` that is no name: a null would be one person of many."""
        sub = (data.get("userinfo") or data["id_token"])["sub"]
        if not isinstance(sub, str) or not 0 < len(sub) <= LONGEST_SUB or not sub.isprintable():
            raise ValueError("sub")
        return sub

    def get_redirect_from_request_kwargs(self, request: HttpRequest) -> dict[str, Any]:
        """Scopes and parameters are ours: no link to our button chooses them."""
        kwargs: dict[str, Any] = super().get_redirect_from_request_kwargs(request)
        return kwargs | {"scope": self.get_scope(), "auth_params": self.get_auth_params()}

    def redirect(self, request: HttpRequest, process: str, **kwargs: Any) -> HttpResponse:
        """Gives the provider a nonce, which the session keeps beside the state."""
        nonce = secrets.token_urlsafe(24)
        params = {**kwargs.pop("auth_params", self.get_auth_params()), "nonce": nonce}
        answer: HttpResponse = super().redirect(
            request, process, auth_params=params, nonce=nonce, **kwargs
        )
        return answer


def _rename_namesake(account: SocialAccount) -> None:
    """Lets nobody in as another person whom an earlier provider of the entry called the same.

    That account stays as a sign that somebody has vouched for its person, who comes in again by
    their address.
    """
    accounts = SocialAccount.objects.filter(provider=account.provider)
    namesake = accounts.filter(uid=account.uid).first()
    issuer = _issuer(namesake.extra_data) if namesake else ""
    if issuer in ("", account.extra_data[ISSUER]):  # "": of a version that did not keep it
        return
    aside = f"{account.uid} of {issuer}"[:LONGEST_SUB]
    accounts.filter(uid=aside).delete()
    accounts.filter(uid=account.uid).update(uid=aside)


def _issuer(data: Claims) -> str:
    """Returns who named the person; earlier versions kept all claims."""
    token = data.get("id_token")
    issuer = data.get(ISSUER) or (token.get(ISSUER) if isinstance(token, dict) else "")
    return str(issuer or "")


def _check(token: Claims, person: Claims | None, client_id: str) -> None:
    """Raises ValueError where claims are not those of one person for this client, now."""
    if person and person["sub"] != token["sub"]:
        raise ValueError("the answer about the person is about somebody else")
    if token.get("azp", client_id) != client_id:
        raise ValueError("azp")
    if max(token["iat"], token.get("nbf", 0)) > time.time() + CLOCKS_DIFFER_S:
        raise ValueError("a token of the future")
    email = (person or token).get("email") or ""
    if len(email) > LONGEST_EMAIL or not email.isprintable() or looks_like_another(email):
        raise ValueError("email")


def looks_like_another(email: str) -> bool:
    """Returns whether an address has letters beyond ASCII that become ASCII in another case.

    `K` (the sign for Kelvin) is lowered to `k`, and PostgreSQL's UPPER makes `I` of a dotless `ı`:
    such an address would be taken for that of somebody else.
    """
    return any(_may_turn_ascii(letter) for letter in email if not letter.isascii())


def _may_turn_ascii(letter: str) -> bool:
    forms = (letter.lower(), letter.upper(), unicodedata.normalize("NFKC", letter))
    return any(len(form) == 1 and form.isascii() for form in forms) or any(
        part.isascii() for part in forms[2]
    )
