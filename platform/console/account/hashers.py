"""Argon2 takes 100 MiB a time: without turns, a crowd at the sign-in page takes all there is."""

import threading
from typing import Any

from django.contrib.auth.hashers import Argon2PasswordHasher

_turns = threading.BoundedSemaphore(2)


class Argon2InTurn(Argon2PasswordHasher):
    def encode(self, *given: Any, **named: Any) -> str:
        with _turns:
            return str(super().encode(*given, **named))

    def verify(self, *given: Any, **named: Any) -> bool:
        with _turns:
            return bool(super().verify(*given, **named))
