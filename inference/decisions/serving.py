"""The policies that decide now, as a web process knows them.

They are cached like prompt templates (inference/intake/prompt_templates.py) and dropped by the same
notifications, so that a change is in force everywhere within a second. So are names of policies
that do not exist: a wrong name costs one query in that time.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property, partial
from uuid import UUID
from weakref import WeakKeyDictionary

from django.db import DatabaseError

from audit.keys.cipher import Unreadable
from audit.keys.master_keys.errors import MasterKeyUnavailable
from inference.decisions.inputs import InputCheck
from inference.decisions.policies import spec_of
from inference.decisions.spec import PolicySpec
from inference.errors import NotFound
from inference.intake.context import Context
from inference.intake.errors import OutOfService
from inference.models import DecisionPolicy, DecisionPolicyVersion
from infrastructure.postgres.request_threads import in_request_thread
from tenants.authentication.authenticator import CACHE_S, REMEMBERED_S
from tenants.authentication.invalidation import Changes
from tenants.scope import read_in_tenant_scope

REMEMBERED = 200  # policies: a version may hold a tree of some megabytes
FIELD = "policy"
Key = tuple[UUID, str]  # tenant, name


@dataclass(frozen=True)
class PolicyInForce:
    """A version that has a part in decisions."""

    id: UUID
    number: int
    spec: PolicySpec

    @cached_property
    def input_check(self) -> InputCheck:
        return InputCheck(self.spec)


@dataclass(frozen=True, slots=True)
class Serving:
    """A policy with what decides. `share` is the challenger's, from 0 to 1."""

    policy_id: UUID
    tenant_id: UUID
    name: str
    champion: PolicyInForce
    challenger: PolicyInForce | None = None
    share: float = 0.0
    shadow: PolicyInForce | None = None

    def version_for(self, decision_id: UUID) -> PolicyInForce:
        """Returns the version that decides: by the id, so that a repeated request gets the same."""
        if self.challenger is None:
            return self.champion
        return self.challenger if decision_id.int % 10_000 < self.share * 10_000 else self.champion


@dataclass(frozen=True, slots=True)
class _Entry:
    serving: Serving | None  # None: there is no such policy, or no version decides
    read_at: float  # the event loop's time


async def serving(context: Context, tenant_id: UUID, name: str) -> Serving:
    """Returns the policy that a request names. Raises NotFound, OutOfService."""
    policies = _of_context.get(context)
    if policies is None:
        policies = _of_context[context] = _Policies(context.authenticator.changes)
    if answer := await policies.find((tenant_id, name)):
        return answer
    what = f"there is no decision policy `{name[:80]}`, or none of its versions was promoted"
    raise NotFound(what, code="policy_not_found", param=FIELD)


class _Policies:
    """The cache of one process that takes requests."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._queries: dict[Key, asyncio.Task[_Entry]] = {}

    async def find(self, key: Key) -> Serving | None:
        entry = self._entries.get(key)
        if entry is None or not self._is_current(key[0], entry.read_at):
            entry = await asyncio.shield(self._query(key))
        return entry.serving

    def _query(self, key: Key) -> asyncio.Task[_Entry]:
        """Returns the query of all that wait for the same policy."""
        if (query := self._queries.get(key)) is None:
            query = self._queries[key] = asyncio.create_task(self._read(key))
            query.add_done_callback(lambda task: self._end_query(key, task))
        return query

    def _end_query(self, key: Key, task: asyncio.Task[_Entry]) -> None:
        self._queries.pop(key, None)
        if not task.cancelled():
            task.exception()  # those that wait get it

    def _is_current(self, tenant_id: UUID, read_at: float) -> bool:
        now = asyncio.get_running_loop().time()
        if now >= read_at + REMEMBERED_S or self._changes.touched(tenant_id, read_at):
            return False
        return now < read_at + CACHE_S or self._changes.all_heard(read_at, now)

    async def _read(self, key: Key) -> _Entry:
        read_at = asyncio.get_running_loop().time()
        try:
            entry = _Entry(await _read(*key), read_at)
        except (DatabaseError, MasterKeyUnavailable, Unreadable) as problem:
            raise OutOfService(str(problem)) from None
        self._entries[key] = entry
        self._entries.move_to_end(key)
        if len(self._entries) > REMEMBERED:
            self._entries.popitem(last=False)
        return entry


_of_context: WeakKeyDictionary[Context, _Policies] = WeakKeyDictionary()


@in_request_thread
def _read(tenant_id: UUID, name: str) -> Serving | None:
    return read_in_tenant_scope(tenant_id, partial(_in_scope, tenant_id, name))


def _in_scope(tenant_id: UUID, name: str) -> Serving | None:
    policy = DecisionPolicy.objects.filter(tenant_id=tenant_id, name=name).first()
    return in_force(policy) if policy else None


def in_force(policy: DecisionPolicy) -> Serving | None:
    """Returns a policy as it decides; None if no version does.

    Raises Unreadable, MasterKeyUnavailable.
    """
    numbers = (policy.champion, policy.challenger, policy.shadow)
    rows = policy.versions.filter(number__in=[number for number in numbers if number])
    versions = {row.number: _version(row) for row in rows}
    champion, challenger, shadow = (versions.get(number or 0) for number in numbers)
    if champion is None:
        return None
    share, owner = policy.challenger_share, policy.tenant_id
    return Serving(policy.pk, owner, policy.name, champion, challenger, share, shadow)


def _version(row: DecisionPolicyVersion) -> PolicyInForce:
    return PolicyInForce(row.pk, row.number, spec_of(row))
