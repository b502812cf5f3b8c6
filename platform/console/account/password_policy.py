"""The password policy of each security profile, and the validator that applies it.

asvs-5: OWASP ASVS 5.0, 6.2.1 (at least 8, 15 advised: 12 here, with a second factor for people with
power), 6.2.4 (common ones refused), 6.2.5 (no rules on composition), 6.2.9 (64 and more allowed),
6.2.10 (no change by the calendar). mlps-l3: GB/T 22239-2019, 8.1.4.1 a (complexity, changed
regularly), with the figures that assessors ask for.
"""

import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth.hashers import Argon2PasswordHasher
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from tenants.models import PasswordHistory, User
from tenants.roles import Profile

_turns = threading.BoundedSemaphore(2)


@dataclass(frozen=True, slots=True)
class PasswordPolicy:
    shortest: int
    longest: int
    classes: int  # of small letters, capitals, digits and others
    good_for_days: int | None  # after that it must be changed
    not_reused: int  # this many previous passwords are refused


POLICIES = {
    Profile.ASVS: PasswordPolicy(
        shortest=12, longest=256, classes=1, good_for_days=None, not_reused=1
    ),
    Profile.MLPS: PasswordPolicy(
        shortest=12, longest=256, classes=4, good_for_days=90, not_reused=5
    ),
}


def policy_of(user: User, *also: str) -> PasswordPolicy:
    """Returns the person's strictest policy; `also`: profiles of tenants about to be joined."""
    return POLICIES[user.profile(*also)]


def character_classes(password: str) -> int:
    """Returns how many of the four it has. A letter without case (汉) counts as "others"."""
    kinds = (str.islower, str.isupper, str.isdigit, _other)
    return sum(any(kind(character) for character in password) for kind in kinds)


def _other(character: str) -> bool:
    return not (character.islower() or character.isupper() or character.isdigit())


def shortcomings(password: str, policy: PasswordPolicy) -> list[str]:
    """Returns what is missing, in words for the person; empty when nothing is."""
    texts = []
    if len(password) < policy.shortest:
        short = ngettext(
            "This password is too short. It must contain at least %(count)d character.",
            "This password is too short. It must contain at least %(count)d characters.",
            policy.shortest,
        )
        texts.append(short % {"count": policy.shortest})
    if len(password) > policy.longest:
        texts.append(_("At most %(count)d characters.") % {"count": policy.longest})
    if character_classes(password) < policy.classes:
        texts.append(_("Use small letters, capitals, digits and other characters: all four."))
    return texts


def in_words(policy: PasswordPolicy) -> str:
    """Returns what a new password must be, as the hint of its field."""
    texts = [_("At least %(count)s characters. A sentence is fine.") % {"count": policy.shortest}]
    if policy.classes > 1:
        texts.append(_("Use small letters, capitals, digits and other characters: all four."))
    if policy.not_reused > 1:
        texts.append(_("None of your last %(count)s.") % {"count": policy.not_reused})
    return " ".join(texts)


def overdue(user: User) -> bool:
    policy = policy_of(user)
    if policy.good_for_days is None or not user.has_usable_password():
        return False
    return timezone.now() - user.password_changed_at >= timedelta(days=policy.good_for_days)


class PolicyValidator:
    """Validates the person's policy and their previous passwords (AUTH_PASSWORD_VALIDATORS)."""

    def validate(self, password: str, user: Any = None) -> None:
        person = user if isinstance(user, User) else User()
        policy = policy_of(person, *person.joining)
        problems = [ValidationError(text, code="policy") for text in shortcomings(password, policy)]
        if problems:
            raise ValidationError(problems)
        if person.pk and PasswordHistory.objects.holds(person, password, policy.not_reused):
            raise ValidationError(_("You have used this password before."), code="reused")

    def get_help_text(self) -> str:
        return _("At least 12 characters. A sentence is fine.")


class Argon2InTurn(Argon2PasswordHasher):
    """Two hashes at a time at most: each takes 100 MiB, and many people may sign in."""

    def encode(self, *args: Any, **kwargs: Any) -> str:
        with _turns:
            return str(super().encode(*args, **kwargs))

    def verify(self, *args: Any, **kwargs: Any) -> bool:
        with _turns:
            return bool(super().verify(*args, **kwargs))
