"""Hooks of django-allauth's second factors, and their secrets at rest.

Secrets are encrypted by AES-256-GCM under a key of the platform, bound to the person: a ciphertext
moved into another person's row does not open there.
"""

import base64
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from tenants.accounts import second_factor_policy
from tenants.models import User

MARK, NONCE = "g1:", 12  # the mark names the scheme
_owner: ContextVar[int | None] = ContextVar("owner of the second factor", default=None)


class FactorUnreadable(Exception):
    """A text that this platform's key did not encrypt, or that belongs to another person."""


@contextmanager
def secrets_of(user_id: int) -> Iterator[None]:
    """Name the owner of the secrets. Needed where nobody is signed in yet."""
    token = _owner.set(user_id)
    try:
        yield
    finally:
        _owner.reset(token)


def encrypt(text: str) -> str:
    nonce = os.urandom(NONCE)
    ciphertext = _cipher().encrypt(nonce, text.encode(), _bound_to())
    return MARK + base64.b64encode(nonce + ciphertext).decode()


def decrypt(encrypted: str) -> str:
    """Raises FactorUnreadable."""
    if not encrypted.startswith(MARK):
        raise FactorUnreadable
    raw = base64.b64decode(encrypted[len(MARK) :])
    try:
        return _cipher().decrypt(raw[:NONCE], raw[NONCE:], _bound_to()).decode()
    except InvalidTag:
        raise FactorUnreadable from None


def _cipher() -> AESGCM:
    return AESGCM(settings.SECOND_FACTOR_KEY)


def _bound_to() -> bytes:
    owner = _owner.get() or context.request.user.pk
    return f"second factor of {owner}".encode()


class SecondFactorAdapter(DefaultMFAAdapter):
    error_messages = {
        **DefaultMFAAdapter.error_messages,
        "cannot_delete_authenticator": gettext_lazy(
            "Your role requires a second factor. Add another one before you remove this one."
        ),
    }

    encrypt, decrypt = staticmethod(encrypt), staticmethod(decrypt)

    def can_delete_authenticator(self, authenticator: Authenticator) -> bool:
        """Keep a required last factor: without one, a password alone would do."""
        if not second_factor_policy.requires(authenticator.user):
            return True
        others = Authenticator.objects.filter(
            user_id=authenticator.user_id, type__in=second_factor_policy.FACTORS
        )
        return bool(others.exclude(pk=authenticator.pk).exists())

    def generate_authenticator_name(self, user: User, type: Authenticator.Type) -> str:
        return _("Key %(number)d") % {
            "number": Authenticator.objects.filter(user_id=user.pk, type=type).count() + 1
        }
