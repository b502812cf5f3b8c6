"""Turns credentials into a typed Caller. Later code never sees the key.

A caller is remembered for REMEMBERED_S, while the database reports every change to its rows
(invalidation.py); otherwise for CACHE_S. Either way a revocation takes effect within a second
everywhere. Without the database no unknown caller is accepted.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any
from uuid import UUID

import psycopg
from django.conf import settings
from psycopg.rows import dict_row

from infrastructure.postgres.resilient_connection import Connection, ResilientConnection
from tenants import secret_keys
from tenants.authentication.invalidation import Changes
from tenants.authentication.last_used import LastUsed
from tenants.authentication.restriction import restricted
from tenants.caller import Caller, Limits, LocalOnlyBy, QuotaRef
from tenants.key_scopes import Scope
from tenants.models.tenant import State
from tenants.models.tier import DEFAULTS, LIMITS, WEIGHTS
from tenants.roles import Permission, may

CACHE_S = 0.5
REMEMBERED_S = 300.0
CACHED = 10_000
PATIENCE_S = 2.0
STALE_S = 0.8  # a slower answer may be about a caller who has been revoked meanwhile

# A restricted model is withheld unless a team of the caller, or its key, has been granted it.
_WITHHELD = """array(
    select r.name from tenants_restrictedmodel r
    where r.tenant_id = t.id and not exists (
        select 1 from tenants_restrictedmodelgroupobjectpermission g
        where g.content_object_id = r.id and g.group_id = any({groups})))"""
_QUOTAS = """coalesce((
    select json_agg(json_build_array(q.id, q.unit, q."window", q.model))
    from tenants_quota q where q.tenant_id = t.id
      and (q.api_key_id is null or q.api_key_id = {key})
      and (q.member_id is null or q.member_id = {member})
      and (q.team_id is null or q.team_id = {team})), '[]')"""
_OF_KEY = _QUOTAS.format(
    key="coalesce(k.replaced_by_id, k.id)", member="k.created_by_id", team="k.team_id"
)
# A member's requests are their team's if they have only one.
_ONLY_TEAM = "case when cardinality(teams.ids) = 1 then teams.ids[1] end"
_CACHE_RULES = """coalesce((
    select json_agg(json_build_array(r.model, r."on")
                    order by r.api_key_id is null, r.model = '')
    from tenants_cacherule r where r.tenant_id = t.id
      and (r.api_key_id is null or r.api_key_id = coalesce(k.replaced_by_id, k.id))), '[]')"""
_WEIGHTS = " ".join(f"when '{tier.value}' then {weight}" for tier, weight in WEIGHTS.items())
# In the order of tenants.caller.Limits.
_LIMITS = ", ".join(f"coalesce(t.{name}, p.{name}, {n})" for name, n in DEFAULTS.items())
_KEY_LIMITS = ", ".join(f"coalesce(k.{name}, 0)" for name in LIMITS)
_TENANT = f"""
    t.id as tenant_id, t.name as tenant, t.state, t.profile, t.local_only, t.time_zone, t.tier,
    t.allowed_origins, t.cache_epoch,
    coalesce(p.weight, case t.tier {_WEIGHTS} end) as weight,
    array[{_LIMITS}] as limits"""
_TIER = "left join tenants_tierpolicy p on p.tier = t.tier"
_BY_KEY = f"""
    select k.id as api_key_id, k.created_by_id as maker_id, k.subject_id, k.team_id, k.scopes,
           k.allowed_models, k.local_only as key_local_only,
           k.allowed_networks, extract(epoch from k.expires_at - now())::float8 as expires_in_s,
           array[{_KEY_LIMITS}] as key_limits,
           {_WITHHELD.format(groups="array[k.group_id, team.group_id]")} as withheld,
           {_OF_KEY} as quotas, {_CACHE_RULES} as cache_rules,
           {restricted("t.id", "k.subject_id")} as restricted,
           {_TENANT}
    from tenants_apikey k join tenants_tenant t on t.id = k.tenant_id {_TIER}
    left join tenants_team team on team.id = k.team_id
    where k.digest = %s and k.revoked_at is null
      and (k.expires_at is null or k.expires_at > now())"""
_BY_USER = f"""
    select m.id as member_id, m.subject_id, m.role,
           {_ONLY_TEAM} as team_id,
           {_WITHHELD.format(groups="teams.groups")} as withheld,
           {_QUOTAS.format(key="null::uuid", member="m.id", team=_ONLY_TEAM)} as quotas,
           {restricted("t.id", "m.subject_id")} as restricted, {_TENANT}
    from tenants_member m join tenants_tenant t on t.id = m.tenant_id {_TIER}
    join tenants_user u on u.id = m.user_id
    cross join lateral (
        select array_agg(team.id) as ids, array_agg(team.group_id) as groups
        from tenants_teammembership place join tenants_team team on team.id = place.team_id
        where place.member_id = m.id) teams
    where m.id = %s and u.is_active"""

# Columns that are fields of a caller as they are.
_SAME = ("tenant_id", "tenant", "subject_id", "weight", "team_id", "profile", "time_zone", "tier")
_Answer = tuple[dict[str, Any] | None, float]  # the row, and the time of the query


class UnknownCaller(Exception):
    """The credentials are wrong, revoked or expired."""


class TenantClosed(UnknownCaller):
    """The credentials are right, but their tenant is suspended or closing, as `state` says."""

    def __init__(self, state: str) -> None:
        super().__init__(state)
        self.state = state


class Restricted(UnknownCaller):
    """The credentials are right, but the person's data is being erased or is restricted."""


class AuthenticationUnavailable(Exception):
    """The database of callers does not answer."""


@dataclass(slots=True)
class _Known:
    """An answer of the database. Times are on the event loop's clock."""

    caller: Caller
    asked_at: float
    until: float  # it must not be used after this, even without changes
    refused: bool = False  # by a later query


class Authenticator:
    """Queries PostgreSQL over a connection of its own: a query takes 0.2 ms, and is rare."""

    def __init__(self, dsn: str) -> None:
        self._last_used = LastUsed(dsn)
        self.changes = Changes(dsn)
        self._connection = ResilientConnection(dsn)
        self._turn = asyncio.Lock()
        self._known: OrderedDict[bytes | UUID, _Known] = OrderedDict()
        self._looking: dict[bytes | UUID, asyncio.Future[Caller]] = {}

    async def close(self) -> None:
        await self.changes.close()
        await self._last_used.close()
        await self._connection.close()

    async def by_key(self, text: str) -> Caller:
        """Returns the caller. Raises UnknownCaller or AuthenticationUnavailable."""
        if not secret_keys.well_formed(text):
            raise UnknownCaller
        digest = secret_keys.digest(text)
        caller = self._remembered(digest) or await self._look_up(_BY_KEY, digest)
        assert caller.api_key_id
        self._last_used.note(caller.api_key_id)
        return caller

    async def by_digest(self, digest: bytes) -> Caller:
        """Authenticates again a request that has waited. Raises as `by_key` does."""
        return self._remembered(digest) or await self._look_up(_BY_KEY, digest)

    def remembered(self, text: str) -> Caller | None:
        """Returns the key's caller if it is known now, without a query."""
        return self._remembered(secret_keys.digest(text))

    def expected(self, text: str) -> bool:
        """Returns True if the last query accepted the key, so its owner is not guessing keys."""
        known = self._known.get(secret_keys.digest(text))
        return known is not None and not known.refused

    def last_known(self, text: str) -> Caller | None:
        """Returns the caller of the last accepted query, for messages about the key only."""
        known = self._known.get(secret_keys.digest(text))
        return known.caller if known else None

    async def by_member(self, member_id: UUID) -> Caller:
        """Authenticates a signed-in person, whose membership must still exist."""
        return self._remembered(member_id) or await self._look_up(_BY_USER, member_id)

    def _remembered(self, credential: bytes | UUID) -> Caller | None:
        known = self._known.get(credential)
        if known is None or known.refused:
            return None
        now, asked_at = asyncio.get_running_loop().time(), known.asked_at
        if now >= known.until or self.changes.touched(known.caller.tenant_id, asked_at):
            return None
        if now < asked_at + CACHE_S or self.changes.all_heard(asked_at, now):
            self._known.move_to_end(credential)
            return known.caller
        return None

    async def _look_up(self, query: str, credential: bytes | UUID) -> Caller:
        """Queries once for all simultaneous requests."""
        looking = self._looking.get(credential)
        if looking is None:
            looking = asyncio.ensure_future(self._ask(query, credential))
            self._looking[credential] = looking
            looking.add_done_callback(lambda done: self._looked(credential, done))
        try:
            patience_s = PATIENCE_S + settings.FAILOVER_WAIT_S
            return await asyncio.wait_for(asyncio.shield(looking), patience_s)
        except TimeoutError:
            raise AuthenticationUnavailable("PostgreSQL does not answer") from None

    def _looked(self, credential: bytes | UUID, done: asyncio.Future[Caller]) -> None:
        self._looking.pop(credential, None)
        if not done.cancelled():
            done.exception()  # marks it as retrieved, in case no request waits any more

    async def _ask(self, query: str, credential: bytes | UUID) -> Caller:
        row, asked_at = await self._fetch_fresh(query, credential)
        known = self._known.get(credential)
        if row is None:
            self._known.pop(credential, None)
            raise UnknownCaller
        try:
            caller = _caller(row, credential)
        except UnknownCaller:
            if known:
                known.refused = True
            raise
        expires_in_s = row.get("expires_in_s")
        remembered_s = REMEMBERED_S if expires_in_s is None else min(expires_in_s, REMEMBERED_S)
        self._known[credential] = _Known(caller, asked_at, until=asked_at + remembered_s)
        self._known.move_to_end(credential)
        if len(self._known) > CACHED:
            self._known.popitem(last=False)
        return caller

    async def _fetch_fresh(self, query: str, credential: bytes | UUID) -> _Answer:
        """Raises AuthenticationUnavailable."""
        for _ in range(2):
            try:
                row, asked_at = await self._fetch(query, credential)
            except (psycopg.OperationalError, psycopg.InterfaceError, OSError) as problem:
                raise AuthenticationUnavailable(str(problem)) from None
            if asyncio.get_running_loop().time() - asked_at < STALE_S:
                return row, asked_at
        raise AuthenticationUnavailable("PostgreSQL is too slow")

    async def _fetch(self, query: str, credential: bytes | UUID) -> _Answer:
        async with self._turn:
            return await self._connection.ask(lambda link: _fetch_one(link, query, credential))


async def _fetch_one(connection: Connection, query: str, credential: bytes | UUID) -> _Answer:
    cursor = connection.cursor(row_factory=dict_row)
    asked_at = asyncio.get_running_loop().time()
    await cursor.execute(query, (credential,), prepare=True)
    return await cursor.fetchone(), asked_at


def _local_only_by(row: dict[str, Any]) -> str:
    if row["local_only"]:
        return LocalOnlyBy.TENANT
    return LocalOnlyBy.KEY if row.get("key_local_only") else ""


def _caller(row: dict[str, Any], credential: bytes | UUID) -> Caller:
    """Makes the caller of a row. Raises TenantClosed, Restricted."""
    if row["state"] != State.ACTIVE:
        raise TenantClosed(row["state"])
    if row["restricted"]:
        raise Restricted
    common: dict[str, Any] = {
        **{name: row[name] for name in _SAME},
        "limits": Limits(*row["limits"]),
        "credential": credential,
        "withheld_models": frozenset(row["withheld"]),
        "local_only_by": _local_only_by(row),
        "quotas": tuple(QuotaRef(UUID(q[0]), *q[1:]) for q in row["quotas"]),
    }
    if "member_id" in row:
        member_id, role = row["member_id"], row["role"]
        chats = may(role, Permission.CHAT, row["profile"])
        scopes = frozenset({Scope.INFERENCE.value} if chats else ())
        actor = f"member:{member_id}"
        return Caller(**common, actor=actor, member_id=member_id, role=role, scopes=scopes)
    return Caller(
        **common,
        actor=f"key:{row['api_key_id']}",
        api_key_id=row["api_key_id"],
        maker_id=row["maker_id"],
        key_limits=Limits(*row["key_limits"]),
        scopes=frozenset(row["scopes"]),
        allowed_origins=frozenset(row["allowed_origins"]),
        cache_rules=tuple((model, on) for model, on in row["cache_rules"]),
        cache_epoch=row["cache_epoch"],
        allowed_models=frozenset(row["allowed_models"]),
        networks=tuple(map(ip_network, row["allowed_networks"])),
    )
