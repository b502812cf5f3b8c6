"""Local-only requests, which never leave this installation.

A tenant is local-only, or an API key, or one request with `x-forebay-residency: local`. Hosted
pools do not exist for it, neither in routing nor in failover, and a hosted engine's runner refuses
it (worker/handlers/base.py).
"""

from dataclasses import replace

from inference.errors import BadRequest, Unavailable
from inference.intake.route import open_to
from inference.local_only import HEADER as HEADER
from inference.local_only import LOCAL as LOCAL
from inference.local_only import local_only_reason
from tenants.caller import Caller, LocalOnlyBy


def bound(caller: Caller, header: str | None) -> Caller:
    """Returns the caller, local-only if the header says so. Raises BadRequest."""
    if header is None:
        return caller
    if header.strip().lower() != LOCAL:
        raise BadRequest(f"{HEADER} must be `{LOCAL}`, or be left out", param=HEADER)
    return caller if caller.local_only else replace(caller, local_only_by=LocalOnlyBy.REQUEST)


def check(caller: Caller, model: str) -> None:
    """Check that a model which the caller may use needs no hosted engine. Raises Unavailable."""
    if caller.local_only and not open_to(caller, model):
        raise would_leave(caller, f"`{model}` is served by hosted engines alone")


def would_leave(caller: Caller, reason: str) -> Unavailable:
    error = Unavailable(
        f"this request would have to leave this installation: {reason}, and "
        f"{local_only_reason(caller.local_only_by)}",
        code="no_local_engine",
    )
    error.extra.append((b"x-should-retry", b"false"))
    return error
