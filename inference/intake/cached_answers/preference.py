"""Decides whether a request may be answered from the cache, and its answer stored there.

Rules of the tenant decide, or the header `x-forebay-cache`: `use` allows both, `no-store` neither,
`no-cache` a fresh answer that is stored, `only` nothing but a cached answer.
"""

from dataclasses import dataclass

from inference.cache.canonical import Body, is_deterministic, name_of
from inference.errors import BadRequest, NotFound
from tenants.caller import Caller

HEADER, NOT_KEPT = "x-forebay-cache", "not_cached"
_WORDS = ("use", "no-store", "no-cache", "only")


@dataclass(frozen=True, slots=True)
class CachePreference:
    name: bytes  # key of its answer in the cache
    reads: bool = True  # a cached answer may be used
    only: bool = False  # only a cached answer may be used


def cache_preference(
    caller: Caller, model: str, body: Body, header: str | None, *, chat: bool
) -> CachePreference | None:
    """Returns the preference; None if its answer is generated and not stored.

    `body` is prepared for the engine, `header` the value of x-forebay-cache. Raises BadRequest,
    NotFound.
    """
    if header is None and not caller.cache_rules:
        return None
    word = _word(header)
    rule = caller.caches(model)
    caches = word in ("use", "no-cache", "only") if rule is None else rule and word != "no-store"
    if caches and caller.api_key_id and is_deterministic(body):
        name = name_of(caller.tenant_id, caller.cache_epoch, model, body, chat=chat)
        return CachePreference(name, reads=word != "no-cache", only=word == "only")
    if word == "only":
        raise not_cached()
    return None


def not_cached() -> NotFound:
    return NotFound(
        f"no answer to this request is kept, and it asks for no other (`{HEADER}: only`)",
        code=NOT_KEPT,
        param=HEADER,
    )


def _word(header: str | None) -> str:
    """Returns the word of the header, "" without one. Raises BadRequest."""
    word = (header or "").strip().lower()
    if header is not None and word not in _WORDS:
        raise BadRequest(f"`{HEADER}` must be one of {', '.join(_WORDS)}", param=HEADER)
    return word
