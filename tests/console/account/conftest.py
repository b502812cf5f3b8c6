"""The people of the console, who sign in by HTTP here, and the duty to have a second factor."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value
from django.test import Client

from console.account.second_factors.mfa_adapter import secrets_of
from tenants.models import User
from tests.console.conftest import PASSWORD

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
Answer = Any


def try_password(client: Client, email: str, password: str = PASSWORD, **more: Any) -> Answer:
    return client.post("/login/", {"login": email, "password": password}, **more)


def code(secret: str = SECRET, steps: int = 0) -> str:
    value = hotp_value(secret, int(time.time()) // 30 + steps)
    return str(format_hotp_value(value))


def with_app(user: User) -> Authenticator:
    """Has enrolled an authenticator app before."""
    with secrets_of(user.pk):
        return TOTP.activate(user, SECRET).instance


@pytest.fixture
def required(settings: Any) -> None:
    settings.SECOND_FACTOR = "required"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the clock of sessions and proofs forward."""
    moved = 0.0
    real = time.time

    def forward(seconds: float) -> None:
        nonlocal moved
        moved += seconds

    monkeypatch.setattr("time.time", lambda: real() + moved)
    return forward
