"""A model routes to pools; a pool is one queue and the engines that drain it.

FOREBAY_ENGINES configures them. The short form, `{"model": {"kind": …, "url": …}}`, is a model with
one pool of one engine, and all three have its name. The long form names pools, in the order in
which they are tried, and one or several engines of each:

    {"model": {"context_length": 8192, "pools": {
        "here":  {"kind": "vllm", "url": "http://gpu-1:8000/v1", "slots": 64},
        "there": {"kind": "vllm", "slots": 64, "engines": [{"url": "…"}, {"url": "…"}]}}}}

A key of a level is the default of all below it. Django is not imported: the supervisor reads this
before it is set up.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from inference import pool_policy
from inference.pool_policy import JOBS, PoolPolicy

Fields = Mapping[str, Any]
HOSTED = frozenset({"deepseek"})  # kinds that are always on a machine of others
SLOTS = 16  # default number of an engine's slots
MOST_SLOTS = 100_000
AUTO = "auto"  # as many slots as the engine reports
LONGEST_VERSION = 60
_NOT_IN_NAMES = set(", \t\n*?")  # names of Celery queues contain them
_MOST_BYTES = 200  # files have these names, too: logs of workers and servers
_HEADER_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")


@dataclass(frozen=True, slots=True)
class EngineEntry:
    """The configuration of one engine."""

    model: str
    pool: str
    engine: str
    fields: Fields
    draining: bool = False  # it takes no new requests
    lent: bool = False  # jobs of its pool may use its GPU
    policy: PoolPolicy = field(default_factory=PoolPolicy)  # of its pool
    seat: str = ""  # the engine whose workers it has; "": its own
    from_file: bool = True  # from FOREBAY_ENGINES: no operator chose its address
    only_for: UUID | None = None  # the tenant that alone may use its model

    def queues(self, workers: int) -> list[str]:
        slots = self.fields.get("slots", SLOTS)
        most = slots if isinstance(slots, int) else workers
        return queues(self.seat or self.engine, self.fields["kind"], most, workers)


def queues(seat: str, kind: str, slots: int, workers: int) -> list[str]:
    """Returns the Celery queues of an engine's workers, `workers` at most.

    A worker's number is its position in the list, from 1. `seat` is the engine's name, or that of
    the engine that it replaced, whose workers stay. A llama.cpp server has one worker, which alone
    can know which tenant's prompt is in which slot.
    """
    count = 1 if kind == "llama_cpp" else max(1, min(workers, slots))
    return [queue(seat, number) for number in range(1, count + 1)]


def queue(seat: str, number: int) -> str:
    return f"engine{number if number > 1 else ''}.{seat}"


def name_problem(name: str) -> str:
    """Returns why a pool or an engine cannot have this name; "" if it can."""
    if not name or set(name) & _NOT_IN_NAMES:
        return f"{name!r} is no name: no blanks, commas, * or ?"
    if not name.isprintable():
        return f"{name!r} is no name: it has characters that cannot be printed"
    if name.endswith(JOBS):
        return f"{name!r} is no name: {JOBS} ends those of queues of jobs"
    if len(name.encode()) > _MOST_BYTES:
        return f"a name has {_MOST_BYTES} bytes at most"
    return ""


def version_besides_adapters(fields: Fields) -> str:
    """Returns the version of an engine that it has, or had before it got other adapters."""
    version, same_as = str(fields.get("version") or ""), fields.get("same_as") or {}
    return str(same_as["of"]) if same_as.get("version") == version else version


def version_problem(version: str) -> str:
    """Returns why an engine's version cannot have this name; "" if it can."""
    return name_problem(version) or (
        f"a version has {LONGEST_VERSION} characters at most"
        if len(version) > LONGEST_VERSION
        else ""
    )


def secret_problem(api_key: str) -> str:
    """Returns why an engine's key cannot be sent in a header, without the key; "" if it can."""
    if api_key and not _HEADER_VALUE.fullmatch(api_key):
        return "the api_key holds a line break or a character beyond ASCII, or a blank at its ends"
    return ""


def share(whole: int, number: int, count: int) -> int:
    """Returns the share of the `number`th of `count`, from 1; all shares together are the whole."""
    return (whole + count - number) // count


def entries(configured: Mapping[str, Fields]) -> list[EngineEntry]:
    """Returns all engines. Raises ValueError for a bad or repeated model, pool or engine."""
    engines = [entry for model, fields in configured.items() for entry in _of_model(model, fields)]
    owners: dict[str, str] = {}
    names: set[str] = set()
    for entry in engines:
        if problem := name_problem(entry.pool):
            raise ValueError(problem)
        if entry.engine in names:
            raise ValueError(f"two engines would be called {entry.engine!r}: rename a pool")
        names.add(entry.engine)
        needed = {"kind"} if entry.fields.get("launch") else {"kind", "url"}
        if missing := needed - entry.fields.keys():
            raise ValueError(f"engine {entry.engine!r} needs {' and '.join(sorted(missing))}")
        if owners.setdefault(entry.pool, entry.model) != entry.model:
            raise ValueError(
                f"pool {entry.pool!r} is named by {owners[entry.pool]!r} and {entry.model!r}: "
                "a pool serves one model"
            )
    return engines


def configured(rows: Iterable[EngineEntry]) -> dict[str, Fields]:
    """Returns entries in the long form of FOREBAY_ENGINES."""
    models: dict[str, Any] = {}
    for entry in rows:
        pools = models.setdefault(entry.model, {"pools": {}})["pools"]
        policy_fields, fields = asdict(entry.policy), dict(entry.fields)
        if entry.engine == entry.pool:
            pools[entry.pool] = {**policy_fields, **fields}
        else:
            pools.setdefault(entry.pool, {**policy_fields, "engines": []})["engines"].append(fields)
    return models


def _of_model(model: str, fields: Fields) -> list[EngineEntry]:
    pools = fields.get("pools")
    if pools is None:
        return _of_pool(model, model, fields)
    if not isinstance(pools, dict) or not pools:
        raise ValueError(f"model {model!r}: `pools` must name at least one pool")
    common = {name: value for name, value in fields.items() if name != "pools"}
    engines = []
    for pool, own in pools.items():
        if not isinstance(own, dict):
            raise ValueError(f"pool {pool!r} of model {model!r} must be an object")
        engines += _of_pool(model, pool, {**common, **own})
    return engines


def _of_pool(model: str, pool: str, fields: Fields) -> list[EngineEntry]:
    fields, when = _split(fields)
    engines = fields.get("engines")
    if engines is None:
        return [EngineEntry(model, pool, pool, in_numbers(fields), policy=when)]
    if not isinstance(engines, list) or not all(isinstance(one, dict) for one in engines):
        raise ValueError(f"pool {pool!r}: `engines` must be a list of objects")
    common = {name: value for name, value in fields.items() if name != "engines"}
    return [
        EngineEntry(model, pool, f"{pool}.{number}", in_numbers({**common, **own}), policy=when)
        for number, own in enumerate(engines, 1)
    ]


def in_numbers(fields: Fields, now: int = SLOTS) -> Fields:
    """Returns fields with `slots` as a number, and `auto_slots` for "auto".

    `now` is used until the engine has reported its own.
    """
    if fields.get("slots") != AUTO:
        return fields
    return {**fields, "slots": now, "auto_slots": True}


def _split(fields: Fields) -> tuple[Fields, PoolPolicy]:
    of_pool = {name: value for name, value in fields.items() if name in pool_policy.KEYS}
    return {name: fields[name] for name in fields if name not in of_pool}, PoolPolicy(**of_pool)
