"""OpenID Connect with django-allauth, and the checks of a provider's answers.

allauth checks little: it prefers the answer about the person to the signed token without comparing
whether both are about the same one, takes any value as a name, and lets the query of our own button
choose scopes and parameters of the provider.
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
_PARSE_ERRORS = (TypeError, AttributeError, LookupError, ValueError, OverflowError, RecursionError)


class InvalidAnswer(OAuth2Error):
    """Names what is wrong with a provider's answer, without its secrets."""


@contextmanager
def _invalid_answers() -> Iterator[None]:
    """Turns errors that allauth meets in answers, such as lists for objects, into InvalidAnswer."""
    try:
        yield
    except _PARSE_ERRORS as problem:
        raise InvalidAnswer(f"its answer is none: {problem!r}"[:LONGEST_REASON]) from problem


class CheckedAdapter(OpenIDConnectOAuth2Adapter):
    """Asks the provider and checks its answers."""

    @property
    def openid_config(self) -> Claims:
        with _invalid_answers():
            config: Claims = super().openid_config
            for name in ("authorization_endpoint", "token_endpoint", "userinfo_endpoint"):
                if not config[name].startswith(("https://", "http://")):
                    raise ValueError(name)
        return config

    @property
    def basic_auth(self) -> bool:
        with _invalid_answers():
            return bool(super().basic_auth)

    def get_access_token_data(self, *args: Any, **options: Any) -> Claims:
        with _invalid_answers():
            token: Claims = super().get_access_token_data(*args, **options)
            if not isinstance(token["id_token"], str):
                raise ValueError("id_token")
        return token

    def parse_token(self, data: Claims) -> SocialToken:
        with _invalid_answers():
            return super().parse_token(data)

    def complete_login(
        self, request: HttpRequest, app: Any, token: SocialToken, **options: Any
    ) -> SocialLogin:
        """Keep nothing of the claims but the person's `sub` and its issuer."""
        with _invalid_answers():
            login = super().complete_login(request, app, token, **options)
            claims = login.account.extra_data
            _check(claims["id_token"], claims.get("userinfo"), app.client_id)
        login.nonce = claims["id_token"].get("nonce")
        login.account.extra_data = {ISSUER: claims["id_token"][ISSUER]}
        _rename_namesake(login.account)
        return login


class IdentityProvider(OpenIDConnectProvider):
    oauth2_adapter_class = CheckedAdapter

    def extract_uid(self, data: Claims) -> str:
        """Raises ValueError for a `sub` that is no text: null would stand for many people."""
        sub = (data.get("userinfo") or data["id_token"])["sub"]
        if not isinstance(sub, str) or not 0 < len(sub) <= LONGEST_SUB or not sub.isprintable():
            raise ValueError("sub")
        return sub

    def get_redirect_from_request_kwargs(self, request: HttpRequest) -> dict[str, Any]:
        """Use our own scopes and parameters: links to our button do not choose them."""
        kwargs: dict[str, Any] = super().get_redirect_from_request_kwargs(request)
        return kwargs | {"scope": self.get_scope(), "auth_params": self.get_auth_params()}

    def redirect(self, request: HttpRequest, process: str, **kwargs: Any) -> HttpResponse:
        """Give the provider a nonce, which the session keeps beside the state."""
        nonce = secrets.token_urlsafe(24)
        params = {**kwargs.pop("auth_params", self.get_auth_params()), "nonce": nonce}
        answer: HttpResponse = super().redirect(
            request, process, auth_params=params, nonce=nonce, **kwargs
        )
        return answer


def _rename_namesake(account: SocialAccount) -> None:
    """Rename the account that has the same `sub` from an earlier provider of this entry.

    It belongs to another person, as whom this one would be signed in. It stays, as a sign that a
    provider has vouched for its person, who signs in again by their address.
    """
    accounts = SocialAccount.objects.filter(provider=account.provider)
    namesake = accounts.filter(uid=account.uid).first()
    issuer = _issuer(namesake.extra_data) if namesake else ""
    if issuer in ("", account.extra_data[ISSUER]):  # "": earlier versions did not store it
        return
    aside = f"{account.uid} of {issuer}"[:LONGEST_SUB]
    accounts.filter(uid=aside).delete()
    accounts.filter(uid=account.uid).update(uid=aside)


def _issuer(data: Claims) -> str:
    """Returns the issuer of an account; earlier versions stored all claims."""
    token = data.get("id_token")
    issuer = data.get(ISSUER) or (token.get(ISSUER) if isinstance(token, dict) else "")
    return str(issuer or "")


def _check(token: Claims, person: Claims | None, client_id: str) -> None:
    """Raises ValueError unless the claims are of one person, for this client, and valid now."""
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
