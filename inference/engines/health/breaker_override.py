"""Reads breakers and overrides them by an operator, for the console and commands.

`redis` is a blocking client, not a RedisLink. All raise redis.RedisError. The breaker of a removed
engine is deleted, so that another one of its name starts without it.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

import msgspec
import redis as redis_py
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models.signals import post_delete
from django.utils.translation import gettext as _

from audit.actions import Action
from audit.trail.record import act
from inference.engines import engines
from inference.engines.health import breakers
from inference.engines.health.breakers import BreakerState, Phase
from inference.models import Engine
from infrastructure.redis import servers

log = logging.getLogger(__name__)
Wanted = Literal["open", "closed", "automatic"]


class BreakerChange(msgspec.Struct, frozen=True):
    """`at`: milliseconds since the epoch. `by`: an operator; "" for requests."""

    state: str
    at: int
    reason: str
    by: str

    @property
    def when(self) -> datetime:
        return datetime.fromtimestamp(self.at / 1000, UTC)


@dataclass(frozen=True, slots=True)
class Breaker:
    """The state of a breaker. `due_in_s` is the time until its probe, 0 unless it is open."""

    engine: str
    phase: Phase
    forced: bool
    failures: int
    reason: str
    since: datetime | None  # None: no failure yet
    due_in_s: float
    history: list[BreakerChange]  # the latest first


def breaker(redis: redis_py.Redis, engine: str) -> Breaker:
    """Raises ValidationError for an engine that does not exist."""
    _check(engine)
    return breakers_of(redis, [engine])[engine]


def breakers_of(redis: redis_py.Redis, names: Iterable[str]) -> dict[str, Breaker]:
    """Returns breakers by name in two round trips, also of engines unknown to this process."""
    engine_names = list(names)
    keys = [breakers.STATES_KEY, breakers.CHANGES_KEY]
    now, _latest, *flat = redis.register_script(breakers.STATES.text)(keys=keys)
    with redis.pipeline(transaction=False) as ask:
        for name in engine_names:
            ask.lrange(breakers.keys(name)[1], 0, -1)
        histories = ask.execute()
    states = dict(zip(flat[::2], flat[1::2], strict=True))
    return {
        name: _described(name, states.get(name.encode()), now, lines)
        for name, lines in zip(engine_names, histories, strict=True)
    }


def override(redis: redis_py.Redis, engine: str, wanted: Wanted, *, by: str) -> None:
    """Keep it open or closed regardless of failures; `automatic` closes it and counts from 0.

    An audit event records it, and every process follows at once. It is stored in Redis: if Redis
    loses it, the breaker is automatic again. Raises ValidationError for an unknown engine.
    """
    _check(engine)
    forced = "" if wanted == "automatic" else wanted
    with transaction.atomic():
        act(Action.ENGINE_BREAKER, actor=by, detail={"engine": engine, "state": wanted})
        redis.register_script(breakers.REPORT.text)(
            keys=breakers.keys(engine), args=breakers.arguments(engine, "force", by, forced)
        )


def _check(engine: str) -> None:
    names = [each.config.id for each in engines()]
    if engine not in names:
        text = _("There is no engine named %(engine)s; there are %(names)s.")
        raise ValidationError(text % {"engine": engine, "names": ", ".join(names)})


def _described(engine: str, encoded: bytes | None, now: int, lines: list[bytes]) -> Breaker:
    history = [msgspec.json.decode(line, type=BreakerChange) for line in lines]
    if encoded is None:
        return Breaker(engine, Phase.CLOSED, False, 0, "", None, 0.0, history)
    state = msgspec.json.decode(encoded, type=BreakerState)
    phase = state.phase(now)
    due_in_s = max(0, state.due - now) / 1000 if phase is Phase.OPEN and not state.forced else 0.0
    forced = bool(state.forced)
    since = datetime.fromtimestamp(state.since / 1000, UTC)
    return Breaker(engine, phase, forced, state.failures, state.reason, since, due_in_s, history)


# Removed engines ---------------------------------------------------------------------------------
def connect_breaker_deletion() -> None:
    """Connect the deletion of breakers to that of engines."""
    post_delete.connect(_removed, sender=Engine, dispatch_uid="breaker of a removed engine")


def _removed(instance: Engine, **_signal: Any) -> None:
    transaction.on_commit(partial(_forget, instance.name))


def _forget(name: str) -> None:
    arguments = breakers.arguments(name, "forget", "")
    try:
        with servers.client(settings.REDIS_URL, socket_timeout=2) as client:
            client.eval(breakers.REPORT.text, 3, *breakers.keys(name), *arguments)
    except redis_py.RedisError as problem:  # the state left there harms nobody
        log.warning("%s: the breaker of the removed engine stays in Redis: %s", name, problem)
