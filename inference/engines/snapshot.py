"""The served models at one moment. Each change makes another snapshot.

Requests that hold an older one may finish with it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from uuid import UUID

from inference.engine_entries import EngineEntry
from inference.engines.base import Engine
from inference.order import OrderAdapter
from inference.pool_policy import JOBS, PoolPolicy, RouteCondition, jobs_queue


@dataclass(frozen=True, slots=True)
class Pool:
    """One queue and the engines that drain it."""

    name: str
    model: str
    engines: tuple[Engine, ...]  # those that take requests
    draining: tuple[Engine, ...] = ()  # those that finish their requests
    policy: PoolPolicy = field(default_factory=PoolPolicy)  # routing condition and limits

    @property
    def all_engines(self) -> tuple[Engine, ...]:
        return (*self.engines, *self.draining)

    def engine(self, name: str) -> Engine:
        return next(engine for engine in self.all_engines if engine.config.id == name)

    def takes(self, name: str) -> Engine | None:
        """Returns the engine of that name if it takes requests."""
        return next((engine for engine in self.engines if engine.config.id == name), None)

    def serves(self, adapter: OrderAdapter | None) -> bool:
        """Returns whether each of its engines that takes requests has the adapter."""
        if adapter is None:
            return True
        engines = self.engines or self.draining
        return bool(engines) and all(engine.serves_adapter(adapter) for engine in engines)

    @property
    def shares_processors(self) -> bool:
        """Returns whether each stream slows all others, as on a llama.cpp that Forebay starts."""
        configs = [engine.config for engine in self.all_engines]
        return bool(configs) and all(c.kind == "llama_cpp" and c.launch for c in configs)

    @property
    def hosted(self) -> bool:
        """Returns whether a prompt may leave this installation here."""
        return any(engine.config.hosted for engine in self.all_engines)

    @property
    def comes_later(self) -> bool:
        """Returns whether it is tried after all others: hosted pools and those for failover."""
        return self.hosted or self.policy.condition == RouteCondition.FAILOVER


@dataclass(frozen=True, slots=True)
class Snapshot:
    entries: tuple[EngineEntry, ...] = ()
    pools: dict[str, Pool] = field(default_factory=dict)
    pools_of: dict[str, tuple[Pool, ...]] = field(default_factory=dict)
    served: dict[str, Engine] = field(default_factory=dict)
    only_for: dict[str, UUID] = field(default_factory=dict)  # models of one tenant alone
    jobs: dict[str, Pool] = field(default_factory=dict)  # queues of jobs, of pools that lend


def snapshot(
    entries: Iterable[EngineEntry], build: Callable[[EngineEntry], Engine | None], before: Snapshot
) -> Snapshot:
    """Build the snapshot of these entries.

    An engine whose entry is unchanged stays the same object, with what it has learnt.
    """
    engines = {e.config.id: e for pool in before.pools.values() for e in pool.all_engines}
    built = {_key(e): engines[e.engine] for e in before.entries if e.engine in engines}
    entries = tuple(entries)
    pools: dict[str, Pool] = {}
    for entry in entries:
        if engine := built.get(_key(entry)) or build(entry):
            pools[entry.pool] = _with(pools.get(entry.pool), entry, engine)
    only_for = {entry.model: entry.only_for for entry in entries if entry.only_for}
    jobs = _jobs_queues(entries, pools, before)
    return Snapshot(entries, pools, *_by_model(pools), only_for, jobs)


def _key(entry: EngineEntry) -> str:
    """Returns the fields that an engine is built from, which `draining` is not one of."""
    return repr((entry.model, entry.pool, entry.engine, entry.seat, sorted(entry.fields.items())))


def _with(pool: Pool | None, entry: EngineEntry, engine: Engine) -> Pool:
    pool = pool or Pool(entry.pool, entry.model, (), policy=entry.policy)
    if entry.draining:
        return replace(pool, draining=(*pool.draining, engine))
    return replace(pool, engines=(*pool.engines, engine))


def _jobs_queues(
    entries: Iterable[EngineEntry], pools: dict[str, Pool], before: Snapshot
) -> dict[str, Pool]:
    """Returns a queue for the jobs of each pool that lends. Engines that are lent drain it."""
    earlier = {e.config.id: e for pool in before.jobs.values() for e in pool.engines}
    lent = {entry.engine for entry in entries if entry.lent}
    queues = {}
    for pool in pools.values():
        if pool.policy.lending:
            own = [_gpu(e, earlier) for e in pool.all_engines if e.config.id in lent]
            name = jobs_queue(pool.name)
            queues[name] = Pool(name, pool.model, tuple(own), policy=pool.policy)
    return queues


def _gpu(lender: Engine, earlier: dict[str, Engine]) -> Engine:
    """Returns the GPU of an engine as the one slot of a job, with a breaker of its own."""
    config = replace(lender.config, id=f"{lender.config.id}{JOBS}", slots=1, auto_slots=False)
    known = earlier.get(config.id)
    return known if known and known.config == config else Engine(config)


def _by_model(
    pools: dict[str, Pool],
) -> tuple[dict[str, tuple[Pool, ...]], dict[str, Engine]]:
    """Returns each model's pools and its first engine.

    If a pool of a model has an engine that takes requests, pools without one are not tried.
    """
    of_model: dict[str, tuple[Pool, ...]] = {}
    for pool in sorted(pools.values(), key=lambda pool: pool.comes_later):
        of_model[pool.model] = (*of_model.get(pool.model, ()), pool)
    routes = {
        model: tuple(pool for pool in model_pools if pool.engines) or model_pools
        for model, model_pools in of_model.items()
    }
    return routes, {model: model_pools[0].all_engines[0] for model, model_pools in routes.items()}
