"""Acts of operators on waiting requests, for the console and the management API."""

from dataclasses import dataclass
from uuid import UUID

from console.serving.queue_lines import drop_cached
from inference.models import Pool
from inference.queue_control import cancelling
from inference.queue_control.cancelling import Chosen, cancel
from inference.queue_control.lowering import lower
from tenants.models import Tenant

MOST_LOWERED, MOST_CANCELLED = 500, 100  # at once


@dataclass(frozen=True, slots=True)
class About:
    """One request, or the requests that a tenant has waiting in a class."""

    request: UUID | None = None
    tenant: Tenant | None = None
    klass: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    requests: int
    left: int  # requests that still wait: the act may be repeated


def lower_requests(pool: Pool, about: About, to: str, *, by: str) -> Done | None:
    """Returns None if no such request waits. Raises ValidationError, redis.RedisError."""
    chosen = _chosen(pool, about, MOST_LOWERED)
    done = Done(lower(chosen, to, by=by), chosen.more) if chosen else None
    drop_cached(pool.name)
    return done


def cancel_requests(pool: Pool, about: About, *, by: str) -> Done | None:
    """Returns None if no such request waits. Raises redis.RedisError."""
    chosen = _chosen(pool, about, MOST_CANCELLED)
    done = Done(cancel(chosen, by=by), chosen.more) if chosen else None
    drop_cached(pool.name)
    return done


def _chosen(pool: Pool, about: About, most: int) -> Chosen | None:
    if about.request:
        return cancelling.chosen_request(pool.name, about.request)
    assert about.tenant
    return cancelling.chosen_line(pool.name, about.klass, about.tenant.pk, most)
