"""Files, uploads and batches in OpenAI's shape: their ids, owners, fields and expiry."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from django.conf import settings

from audit.keys.keyring import Barred
from audit.trail.truncated_address import network
from inference.api import ownership
from inference.batch.file_storage_limit import StorageFull, TooManyFiles
from inference.batch.file_store import FileOwner
from inference.engines.fields import FieldRule, Fields, Schema
from inference.errors import ApiError, BadRequest, Forbidden, LimitReached, must_be
from inference.intake.access.revocation import RESTRICTED, RESTRICTED_TEXT
from tenants.caller import Caller

NOBODYS = UUID(int=0)
ANCHOR, SHORTEST_S, LONGEST_S = "created_at", 3600, 30 * 24 * 3600
FORM_FIELDS = ("expires_after[anchor]", "expires_after[seconds]")
FILE_ID = FieldRule(lambda v: isinstance(v, str), "the id of a file", {"type": "string"})
EXPIRY: Schema = {
    "type": "object",
    "required": ["anchor", "seconds"],
    "properties": {
        "anchor": {"const": ANCHOR},
        "seconds": {"type": "integer", "minimum": SHORTEST_S, "maximum": LONGEST_S},
    },
    "additionalProperties": False,
}


def owner_of(caller: Caller, client_ip: str) -> FileOwner:
    """Returns the owner of what the caller stores."""
    address = network(client_ip)
    return FileOwner(caller.tenant_id, caller.subject_id, caller.api_key_id, caller.actor, address)


def parsed_id(text: str, prefix: str) -> UUID:
    """Returns the id; NOBODYS, which nothing has, if it cannot be one."""
    return ownership.parsed_id(text, prefix) or NOBODYS


def storing_error(problem: Barred | StorageFull | TooManyFiles) -> ApiError:
    """Returns the error of what cannot be stored."""
    match problem:
        case Barred():
            return Forbidden(RESTRICTED_TEXT, code=RESTRICTED)
        case StorageFull():
            has = f"this tenant's files have {problem.stored} bytes"
            most = f"{settings.TENANT_FILES_BYTES} is the most: delete some"
            return LimitReached(f"{has}; {most}", code="file_storage_full")
    return LimitReached(
        f"this tenant has {settings.TENANT_FILES_MOST} files and parts of uploads: delete some",
        code="too_many_files",
    )


# Fields -------------------------------------------------------------------------------------------
def check_known(fields: Collection[str], known: Collection[str], hint: str = "") -> None:
    """Raises BadRequest for a field that is not known."""
    if unknown := set(fields) - set(known):
        name = min(unknown)
        raise BadRequest(f"`{name}` is not supported{hint}", param=name)


def check_fields(body: Mapping[str, Any], rules: Fields, optional: Collection[str] = ()) -> None:
    """Check each field by its rule. Raises BadRequest."""
    check_known(body, (*rules, *optional))
    for name, rule in rules.items():
        if not rule.holds(body.get(name)):
            raise must_be(name, rule.should)


def expiry_in_form(fields: Mapping[str, Any]) -> int | None:
    """Returns the seconds of `expires_after`, or None. Raises BadRequest."""
    anchor, seconds = (fields.get(name) for name in FORM_FIELDS)
    if anchor is None and seconds is None:
        return None
    return _checked_expiry(anchor, _number(seconds), FORM_FIELDS)


def _number(text: object) -> int | None:
    """Returns the number; None if it is none, or too long."""
    is_one = isinstance(text, str) and len(text) < 9 and text.isascii() and text.isdigit()
    return int(str(text)) if is_one else None


def expiry_in_json(body: Mapping[str, Any], param: str) -> int | None:
    """Returns the seconds of the field, or None. Raises BadRequest."""
    if (expiry := body.get(param)) is None:
        return None
    if not isinstance(expiry, dict) or set(expiry) - {"anchor", "seconds"}:
        raise must_be(param, "an object with `anchor` and `seconds`")
    names = (f"{param}.anchor", f"{param}.seconds")
    return _checked_expiry(expiry.get("anchor"), expiry.get("seconds"), names)


def _checked_expiry(anchor: Any, seconds: Any, names: tuple[str, str]) -> int:
    of_anchor, of_seconds = names
    if anchor != ANCHOR:
        raise must_be(of_anchor, ANCHOR)
    if type(seconds) is not int or not SHORTEST_S <= seconds <= LONGEST_S:
        raise must_be(of_seconds, f"a number from {SHORTEST_S} to {LONGEST_S}")
    return seconds
