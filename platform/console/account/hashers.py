"""Argon2 with two hashes at a time at most: each takes 100 MiB, and many people may sign in."""

import threading
from typing import Any

from django.contrib.auth.hashers import Argon2PasswordHasher

_turns = threading.BoundedSemaphore(2)


class Argon2InTurn(Argon2PasswordHasher):
    def encode(self, *args: Any, **kwargs: Any) -> str:
        with _turns:
            return str(super().encode(*args, **kwargs))

    def verify(self, *args: Any, **kwargs: Any) -> bool:
        with _turns:
            return bool(super().verify(*args, **kwargs))
