"""Names for the actors of the audit trail ("member:<uuid>"), and actors for a typed name."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from audit.models import Event
from tenants.models import ApiKey, Link, Member, OperatorKey, Tenant, User

_UUID, _NUMBER, NEVER = re.compile(r"[0-9a-f-]{36}"), re.compile(r"\d{1,18}"), re.compile(r"(?!)")
CHANGES = (":change", ":role")
PATTERNS = {"key": _UUID, "member": _UUID, "user": _NUMBER, "operator": _NUMBER}
PATTERNS |= {"operator_key": _UUID}
OPERATING = ("operator", "operator_key")  # kinds of which a tenant learns no name

_ACTOR_FIELDS = {"link_by", "made_by"}  # fields of an event's detail that hold an actor


@dataclass(frozen=True, slots=True)
class Actors:
    """Names of the people and keys behind a page of events or refusals."""

    names: dict[str, str]
    inside: bool  # a tenant is looking: it learns no operator's name

    @classmethod
    def of(cls, events: Collection[Event], tenant: Tenant | None) -> "Actors":
        actors = [event.actor for event in events]
        actors += [f"{kind}:{e.detail.get(kind)}" for e in events for kind in ("member", "key")]
        for field in _ACTOR_FIELDS:
            actors += [str(event.detail.get(field, "")) for event in events]
        return cls.among(actors, tenant)

    @classmethod
    def among(cls, actors: Iterable[str], tenant: Tenant | None) -> "Actors":
        ids: dict[str, set[str]] = {kind: set() for kind in PATTERNS}
        for actor in actors:
            kind, _colon, pk = actor.partition(":")
            if PATTERNS.get(kind, NEVER).fullmatch(pk):
                ids[kind].add(pk)
        names = {m.actor: m.user.email for m in _members(tenant).filter(pk__in=ids["member"])}
        names |= {key.actor: key.name for key in _keys(tenant).filter(pk__in=ids["key"])}
        if tenant:  # people act as users before they are members: when they follow a link
            people = _members(tenant).filter(user__pk__in=ids["user"])
            names |= {f"user:{m.user_id}": m.user.email for m in people}
        else:
            users = User.objects.filter(pk__in=ids["user"] | ids["operator"])
            names |= {user.actor: user.email for user in users}
            keys = OperatorKey.objects.filter(pk__in=ids["operator_key"])
            names |= {key.actor: key.name for key in keys}
        return cls(names, inside=tenant is not None)

    def name(self, actor: str) -> str:
        kind, _colon, rest = actor.partition(":")
        if name := self.names.get(actor):
            return name
        if kind in OPERATING and self.inside:
            return _("Platform operator")
        if kind == "member":
            return _("former member %(id)s") % {"id": rest[:8]}
        if kind == "command":
            return f"manage.py {rest}"
        words = {"unknown": _("unknown person"), Link.MAILBOX: _("by mail")}
        return words.get(actor, actor)

    def particulars(self, event: Event) -> list[tuple[str, str]]:
        """Returns the event's detail, with people by name and without internal ids."""
        detail = dict(event.detail)
        if "public_id" in detail or "name" in detail:
            for internal in ("key", "operator_key", "team", "template"):
                detail.pop(internal, None)
        for kind in ("member", "key"):
            if kind in detail:
                detail[kind] = self.name(f"{kind}:{detail[kind]}")
        for field in _ACTOR_FIELDS & detail.keys():
            detail[field] = self.name(str(detail[field]))
        for internal in ("quota", "raise", "replaced_by"):
            detail.pop(internal, None)
        changes = event.action.endswith(CHANGES)
        return [(name, _readable(value, changes)) for name, value in detail.items()]


def _readable(value: Any, changes: bool) -> str:
    """Returns the value in words. A change is a list of the old and the new value."""
    if changes and isinstance(value, list) and len(value) == 2:
        return " → ".join(_readable(part, changes=False) for part in value)
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "–"
    return "–" if value in (None, "") else str(value)


def actors_named(text: str, tenant: Tenant | None) -> list[str]:
    """Returns actors with this email address, name or id, or key name, that the tenant may see."""
    text = text.strip()
    if ":" in text:
        return [text]
    people = Q(user__email__iexact=text) | Q(user__name__iexact=text)
    members = list(_members(tenant).filter(people))
    actors = [member.actor for member in members]
    actors += [key.actor for key in _keys(tenant).filter(Q(name__iexact=text) | Q(public_id=text))]
    if tenant:
        actors += [f"user:{member.user_id}" for member in members]
    else:
        users = User.objects.filter(Q(email__iexact=text) | Q(name__iexact=text))
        actors += [f"{kind}:{user.pk}" for user in users for kind in ("operator", "user")]
        keys = OperatorKey.objects.filter(Q(name__iexact=text) | Q(public_id=text))
        actors += [key.actor for key in keys]
    return actors


def _members(tenant: Tenant | None) -> QuerySet[Member]:
    members = tenant.members.all() if tenant else Member.objects.all()
    return members.select_related("user")


def _keys(tenant: Tenant | None) -> QuerySet[ApiKey]:
    return tenant.api_keys.all() if tenant else ApiKey.objects.all()
