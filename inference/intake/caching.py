"""Whether a request's answer may be a kept one, and is to be kept: by rules, and by its word.

`x-forebay-cache: use` asks for it, `no-store` for neither, `no-cache` for a fresh one that is kept,
`only` for a kept one or none.
"""

from dataclasses import dataclass

from inference.cache.canonical import Body, is_deterministic, name_of
from inference.errors import BadRequest, NotFound
from tenants.caller import Caller

HEADER, NOT_KEPT = "x-forebay-cache", "not_cached"
_WORDS = ("use", "no-store", "no-cache", "only")


@dataclass(frozen=True, slots=True)
class Wish:
    name: bytes  # under which its answer is kept
    reads: bool = True  # a kept one will do
    only: bool = False  # and nothing else


def wish(caller: Caller, model: str, body: Body, told: str | None, *, chat: bool) -> Wish | None:
    """`body`: as prepared for the engine. None: its answer is made for it, and is not kept.

    Raises BadRequest, NotFound.
    """
    if told is None and not caller.cache_rules:
        return None
    word = _word(told)
    rule = caller.caches(model)
    asked = word in ("use", "no-cache", "only") if rule is None else rule and word != "no-store"
    if asked and caller.api_key_id and is_deterministic(body):
        name = name_of(caller.tenant_id, caller.cache_epoch, model, body, chat=chat)
        return Wish(name, reads=word != "no-cache", only=word == "only")
    if word == "only":
        raise not_kept()
    return None


def not_kept() -> NotFound:
    return NotFound(
        f"no answer to this request is kept, and it asks for no other (`{HEADER}: only`)",
        code=NOT_KEPT,
        param=HEADER,
    )


def _word(told: str | None) -> str:
    """Raises BadRequest."""
    word = (told or "").strip().lower()
    if told is not None and word not in _WORDS:
        raise BadRequest(f"`{HEADER}` must be one of {', '.join(_WORDS)}", param=HEADER)
    return word
