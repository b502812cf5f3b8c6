"""What a password must be under each security profile: a table, and the validator that reads it.

asvs-5: OWASP ASVS 5.0, 6.2.1 (at least 8, 15 advised: we take 12, with a second factor for who has
power), 6.2.4 (common ones refused), 6.2.5 (no rules on composition), 6.2.9 (64 and more allowed),
6.2.10 (no change by the calendar). mlps-l3: GB/T 22239-2019, 8.1.4.1 a (complexity, changed
regularly), with the figures that assessors ask for.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from tenants.accounts.person_profile import profile_of
from tenants.models import PasswordHistory, User
from tenants.roles import Profile


@dataclass(frozen=True, slots=True)
class Policy:
    shortest: int
    longest: int  # so much is hashed at most
    classes: int  # of small letters, capitals, digits and others
    good_for_days: int | None  # then it must be changed
    not_reused: int  # so many last ones must not come back


POLICIES = {
    Profile.ASVS: Policy(shortest=12, longest=256, classes=1, good_for_days=None, not_reused=1),
    Profile.MLPS: Policy(shortest=12, longest=256, classes=4, good_for_days=90, not_reused=5),
}


def policy_of(user: User, *also: str) -> Policy:
    """The strictest that binds the person; `also`: profiles of tenants about to be joined."""
    return POLICIES[profile_of(user, *also)]


def classes(password: str) -> int:
    """How many of the four are there. A letter without case (汉) counts as one of the others."""
    kinds = (str.islower, str.isupper, str.isdigit, _other)
    return sum(any(kind(character) for character in password) for kind in kinds)


def _other(character: str) -> bool:
    return not (character.islower() or character.isupper() or character.isdigit())


def lacks(password: str, policy: Policy) -> list[str]:
    """What is missing, in words for the person; empty when nothing is."""
    found = []
    if len(password) < policy.shortest:
        short = ngettext(
            "This password is too short. It must contain at least %(count)d character.",
            "This password is too short. It must contain at least %(count)d characters.",
            policy.shortest,
        )
        found.append(short % {"count": policy.shortest})
    if len(password) > policy.longest:
        found.append(_("At most %(count)d characters.") % {"count": policy.longest})
    if classes(password) < policy.classes:
        found.append(_("Use small letters, capitals, digits and other characters: all four."))
    return found


def overdue(user: User) -> bool:
    policy = policy_of(user)
    if policy.good_for_days is None or not user.has_usable_password():
        return False
    return timezone.now() - user.password_changed_at >= timedelta(days=policy.good_for_days)


class PolicyValidator:
    """In AUTH_PASSWORD_VALIDATORS: the person's policy, and their last passwords."""

    def validate(self, password: str, user: Any = None) -> None:
        person = user if isinstance(user, User) else User()
        policy = policy_of(person, *person.joining)
        problems = [ValidationError(text, code="policy") for text in lacks(password, policy)]
        if problems:
            raise ValidationError(problems)
        if person.pk and _had(person, password, policy.not_reused):
            raise ValidationError(_("You have used this password before."), code="reused")

    def get_help_text(self) -> str:
        return _("At least 12 characters. A sentence is fine.")


def _had(user: User, password: str, last: int) -> bool:
    return PasswordHistory.objects.holds(user, password, last)
