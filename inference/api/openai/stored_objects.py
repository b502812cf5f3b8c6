"""Files, uploads and batches in OpenAI's shape: their ids, owners, lists, fields and expiry."""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

from django.conf import settings
from django.db.models import Q

from audit.keys.keyring import Barred
from audit.trail.truncated_address import network
from inference.api.http.request import Request
from inference.api.ownership import readable
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
Shape = Callable[[Any], dict[str, Any]]
_PAGE = {"limit", "order", "after"}


def owner_of(caller: Caller, client_ip: str) -> FileOwner:
    """Returns the owner of what the caller stores."""
    address = network(client_ip)
    return FileOwner(caller.tenant_id, caller.subject_id, caller.api_key_id, caller.actor, address)


def parsed_id(text: str, prefix: str) -> UUID:
    """Returns the id; NOBODYS, which nothing has, if it cannot be one."""
    number = text.removeprefix(prefix)
    if text == number or len(number) not in (32, 36):
        return NOBODYS
    try:
        return UUID(hex=number)
    except ValueError:
        return NOBODYS


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


# Lists: newest first, from a cursor that is the last item's id ------------------------------------
def query(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.query.decode("latin-1"), keep_blank_values=True))


def listed(
    caller: Caller, rows: Any, shape: Shape, page: Mapping[str, str], bounds: tuple[str, int, int]
) -> dict[str, Any]:
    """Returns a page of the caller's rows, in the caller's scope. Raises BadRequest.

    `page` has the parameters of the query, `bounds` the prefix of ids, usual and most rows.
    """
    prefix, default, most = bounds
    if unknown := set(page) - _PAGE:
        name = min(unknown)
        raise BadRequest(f"there is no parameter `{name}` here", param=name)
    limit, order = page.get("limit", str(default)), page.get("order", "desc")
    if not (limit.isascii() and limit.isdigit() and len(limit) < 9 and 1 <= int(limit) <= most):
        raise must_be("limit", f"a number from 1 to {most}")
    if order not in ("asc", "desc"):
        raise must_be("order", "asc or desc")
    sign, side = ("-", "lt") if order == "desc" else ("", "gt")
    rows = readable(rows, caller)
    if after := page.get("after"):
        rows = rows.filter(_beyond(rows, after.removeprefix(prefix), side))
    page_rows = list(rows.order_by(f"{sign}created_at", f"{sign}pk")[: int(limit) + 1])
    data = [shape(row) for row in page_rows[: int(limit)]]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(page_rows) > len(data),
    }


def _beyond(rows: Any, after: str, side: str) -> Q:
    """Returns the condition of rows behind a cursor. Raises BadRequest."""
    with suppress(ValueError):
        pk = UUID(hex=after)
        if last := rows.filter(pk=pk).values_list("created_at", flat=True).first():
            return Q(**{f"created_at__{side}": last}) | Q(**{"created_at": last, f"pk__{side}": pk})
    raise must_be("after", "the id of an object in this list")


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
