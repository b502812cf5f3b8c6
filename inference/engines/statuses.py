"""The meaning of an engine's HTTP status. docs/engines.md has the table, too.

Kinds agree on most of it; the differences of one kind are in its `refusal`.
"""

import re
from enum import Enum, auto
from typing import Any


class Meaning(Enum):
    CLIENTS = auto()  # the request is wrong: the client gets the engine's words
    NOT_OFFERED = auto()  # no such path or feature there: another engine may have it
    ACCOUNT = auto()  # the platform's key, balance or rights there
    FULL = auto()  # it is busy
    AWAY = auto()  # it has not begun: the same request may work a moment later
    FAILED = auto()  # everything else


# 451: legally unavailable where a hosted service is.
_CLIENTS = frozenset({400, 413, 415, 422, 451})
_NOT_OFFERED = frozenset({404, 405, 501})
_ACCOUNT = frozenset({401, 402, 403, 407})
_FULL = frozenset({429, 529})
# 409, 423, 425: it is not ready. 521 to 523: a proxy (Cloudflare) has not reached it.
_AWAY = frozenset({409, 423, 425, 503, 521, 522, 523})
_MODEL_NOT_FOUND = "model_not_found"
_NO_MODEL = re.compile(
    r"\bno such model|\bmodel\b.{0,200}?\b(not|no longer) (exist|found|available|loaded)"
    r"|\bmodel\b.{0,200}?\bdoes not exist",
    re.IGNORECASE | re.DOTALL,
)
_PATH = re.compile(r"\bendpoint\b|\bv1/", re.IGNORECASE)
_NO_BALANCE = re.compile(r"insufficient.quota|exceeded.current.quota|insufficient.balance", re.I)
_MODERATED = re.compile(r"moderat|flagged|content.(filter|policy|management)", re.IGNORECASE)


def meaning(status: int, error: dict[str, Any]) -> Meaning:
    """Returns the meaning. `error` is the object of the body, {} if it has none."""
    if status == 400 and error.get("code") == _MODEL_NOT_FOUND:
        return Meaning.FAILED
    if status in _CLIENTS or (status == 403 and _MODERATED.search(_words(error))):
        return Meaning.CLIENTS
    if status in _NOT_OFFERED:
        return Meaning.FAILED if _lacks_its_model(error) else Meaning.NOT_OFFERED
    if status in _ACCOUNT or (status in _FULL and _NO_BALANCE.search(_words(error))):
        return Meaning.ACCOUNT
    if status in _FULL:
        return Meaning.FULL
    return Meaning.AWAY if status in _AWAY else Meaning.FAILED


def _lacks_its_model(error: dict[str, Any]) -> bool:
    """Returns whether the model itself is missing, whose name an operator configured."""
    if error.get("code") == _MODEL_NOT_FOUND:
        return True
    message = str(error.get("message") or "")
    return bool(_NO_MODEL.search(message)) and not _PATH.search(message)


def _words(error: dict[str, Any]) -> str:
    return " ".join(str(error[name]) for name in ("code", "type", "message") if error.get(name))
