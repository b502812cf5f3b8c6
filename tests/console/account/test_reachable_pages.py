"""Of django-allauth's pages those are there that we want, and no others."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

WANTED = {
    "account_login",
    "account_logout",
    "mfa_authenticate",
    "openid_connect_login",
    "openid_connect_callback",
    "account_reauthenticate",
    "mfa_reauthenticate",
    "mfa_reauthenticate_webauthn",
    "account_change_password",
    "account_set_password",
    "mfa_index",
    "mfa_activate_totp",
    "mfa_deactivate_totp",
    "mfa_add_webauthn",
    "mfa_edit_webauthn",
    "mfa_remove_webauthn",
    "mfa_view_recovery_codes",
    "mfa_generate_recovery_codes",
}
PREFIXES = ("account_", "mfa_", "socialaccount_", "openid_connect", "usersessions_", "headless")


def patterns(resolver: URLResolver) -> Iterator[URLPattern]:
    for entry in resolver.url_patterns:
        if isinstance(entry, URLResolver):
            yield from patterns(entry)
        else:
            yield entry


def made_by_allauth(pattern: URLPattern) -> bool:
    view: Any = pattern.callback
    cls = getattr(view, "view_class", None)
    modules = {base.__module__ for base in cls.__mro__} if cls else {view.__module__}
    return any(module.startswith("allauth.") for module in modules)


@pytest.mark.unit
def test_the_urls_hold_what_we_want_and_nothing_else_of_allauth() -> None:
    found = list(patterns(get_resolver()))
    named = {p.name for p in found if (p.name or "").startswith(PREFIXES)}
    assert named == WANTED
    unnamed = {p.name for p in found if made_by_allauth(p)} - WANTED
    assert unnamed == {"sign_in", "sign_out"}  # the console's own names for the same views


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path",
    [
        "/signup/",
        "/accounts/signup/",
        "/account/signup/",
        "/account/email/",
        "/login/code/",
        "/3rdparty/",
        "/3rdparty/signup/",
        "/social/signup/",
        "/account/two-factor/signup/",
        "/inactive/",
    ],
)
def test_nobody_signs_up(client: Client, path: str) -> None:
    assert client.get(path).status_code == 404
    assert client.post(path, {"email": "mallory@x.example"}).status_code == 404
