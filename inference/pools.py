"""A model routes to pools; a pool is one queue and the engines that drain it.

FOREBAY_ENGINES says which. The short form, `{"model": {"kind": …, "url": …}}`, is a model with one
pool of one engine, and all three have its name. The long form names pools, in the order in which
they are tried, and an engine or several of each:

    {"model": {"context_length": 8192, "pools": {
        "here":  {"kind": "vllm", "url": "http://gpu-1:8000/v1", "slots": 64},
        "there": {"kind": "vllm", "slots": 64, "engines": [{"url": "…"}, {"url": "…"}]}}}}

What stands above holds for all below that do not say otherwise. Nothing of Django is imported: the
supervisor reads this before anything is set up.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Fields = Mapping[str, Any]
SLOTS = 16  # of an engine that does not say how many it has
_NOT_IN_NAMES = set(", \t\n*?")  # they name queues of Celery


@dataclass(frozen=True, slots=True)
class Entry:
    """One engine, as it is configured."""

    model: str
    pool: str
    engine: str
    fields: Fields

    def queues(self, workers: int) -> list[str]:
        """Of Celery: one for each of its workers, of which it may have so many. The worker's number
        is its place in the list, from 1 on.

        A llama.cpp server has one: that alone can know whose prompt lies in which of its slots.
        """
        slots = self.fields.get("slots", SLOTS)
        most = min(workers, slots) if isinstance(slots, int) else workers
        count = 1 if self.fields["kind"] == "llama_cpp" else max(1, most)
        return [f"engine{n if n > 1 else ''}.{self.engine}" for n in range(1, count + 1)]


def share(whole: int, number: int, count: int) -> int:
    """Of the `number`th of `count`, from 1 on: all shares together are the whole."""
    return (whole + count - number) // count


def entries(configured: Mapping[str, Fields]) -> list[Entry]:
    """All engines. Raises ValueError for what is no model, no pool, or there twice."""
    found = [entry for model, fields in configured.items() for entry in _of_model(model, fields)]
    owners: dict[str, str] = {}
    for entry in found:
        if not entry.pool or set(entry.pool) & _NOT_IN_NAMES:
            raise ValueError(f"{entry.pool!r} is no name: no blanks, commas, * or ?")
        if missing := {"kind", "url"} - entry.fields.keys():
            raise ValueError(f"engine {entry.engine!r} needs {' and '.join(sorted(missing))}")
        if owners.setdefault(entry.pool, entry.model) != entry.model:
            raise ValueError(
                f"pool {entry.pool!r} is named by {owners[entry.pool]!r} and {entry.model!r}: "
                "a pool serves one model"
            )
    return found


def _of_model(model: str, fields: Fields) -> list[Entry]:
    pools = fields.get("pools")
    if pools is None:
        return _of_pool(model, model, fields)
    if not isinstance(pools, dict) or not pools:
        raise ValueError(f"model {model!r}: `pools` must name at least one pool")
    common = {name: value for name, value in fields.items() if name != "pools"}
    found = []
    for pool, own in pools.items():
        if not isinstance(own, dict):
            raise ValueError(f"pool {pool!r} of model {model!r} must be an object")
        found += _of_pool(model, pool, {**common, **own})
    return found


def _of_pool(model: str, pool: str, fields: Fields) -> list[Entry]:
    engines = fields.get("engines")
    if engines is None:
        return [Entry(model, pool, pool, fields)]
    if not isinstance(engines, list) or not all(isinstance(one, dict) for one in engines):
        raise ValueError(f"pool {pool!r}: `engines` must be a list of objects")
    common = {name: value for name, value in fields.items() if name != "engines"}
    return [
        Entry(model, pool, f"{pool}.{number}", {**common, **own})
        for number, own in enumerate(engines, 1)
    ]
