"""The people of a list, checked: whom an invitation would reach, and why others get none."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models.functions import Lower
from django.utils.translation import gettext as _

from console.forms import LONGEST_EMAIL
from console.people.invitation_lists import Entry
from tenants.models import Link, Team, Tenant
from tenants.roles import Role


@dataclass(frozen=True, slots=True)
class Candidate:
    entry: Entry
    role: Role | None
    team: Team | None
    problem: str  # "" for one that can be invited
    replaces: bool = False  # an earlier invitation, whose link then ends


class Invitees:
    """The people of a list that a tenant knows: two queries, however long it is."""

    def __init__(
        self, tenant: Tenant, may_give: Iterable[Role], teams: Mapping[str, Team], emails: set[str]
    ) -> None:
        self.may_give, self.teams = set(may_give), teams
        members = tenant.members.filter(user__email__in=emails)
        self.members = set(members.values_list("user__email", flat=True))
        waiting = Link.objects.invitations(tenant).annotate(address=Lower("email"))
        self.waiting: dict[str, set[Role]] = {}
        rows = waiting.filter(address__in=emails).values_list("address", "role")
        for address, role in rows:
            self.waiting.setdefault(address, set()).add(Role(role))

    def problem(self, entry: Entry, role: Role | None, team: Team | None) -> str:
        """Returns why the entry's person cannot be invited, "" if they can."""
        if not _is_address(entry.email):
            return _("This is not an email address.")
        if role is None:
            return _("There is no role %(role)s.") % {"role": entry.role}
        if role not in self.may_give:
            return _("This role may do more than yours: ask an owner.")
        if entry.team and team is None:
            return _("There is no team %(team)s.") % {"team": entry.team}
        if entry.email.lower() in self.members:
            return _("This person is a member already.")
        if self.waiting.get(entry.email.lower(), set()) - self.may_give:
            return _("An invitation into a role above yours waits for this person. Ask an owner.")
        return ""


def check(
    tenant: Tenant,
    entries: list[Entry],
    *,
    may_give: Iterable[Role],
    teams: Mapping[str, Team],
    role: Role,
    team: Team | None,
) -> list[Candidate]:
    """Returns a candidate for each entry. `role` and `team` are of those that name none.

    `teams` are the teams that the inviter may add people to, by name.
    """
    known = Invitees(tenant, may_give, teams, {entry.email.lower() for entry in entries})
    addresses: set[str] = set()
    candidates = []
    for entry in entries:
        address = entry.email.lower()
        its_role = _role(entry.role) if entry.role else role
        its_team = teams.get(entry.team) if entry.team else team
        problem = known.problem(entry, its_role, its_team)
        if not problem and address in addresses:
            problem = _("This address is in the list twice.")
        addresses.add(address)
        candidates.append(Candidate(entry, its_role, its_team, problem, address in known.waiting))
    return candidates


def _is_address(email: str) -> bool:
    try:
        validate_email(email)
    except ValidationError:
        return False
    return len(email) <= LONGEST_EMAIL


def _role(text: str) -> Role | None:
    """Returns the role of a name, as the API writes it or as the page shows it."""
    names = {word.casefold(): role for role in Role for word in (role.value, str(role.label))}
    return names.get(text.casefold())
