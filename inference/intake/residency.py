"""Who is local-only: nothing they ask leaves this installation.

A tenant is, or an API key, or one request with `x-forebay-residency: local`. Hosted pools do not
exist for it, neither where it is routed nor where it is handed on, and a hosted engine's runner
refuses it (worker/handlers/base.py).
"""

from dataclasses import replace

from inference.errors import BadRequest, Unavailable
from inference.intake.route import open_to
from inference.local_only import HEADER as HEADER
from inference.local_only import LOCAL as LOCAL
from inference.local_only import why
from tenants.caller import Caller, LocalOnlyBy


def bound(caller: Caller, residency: str | None) -> Caller:
    """Raises BadRequest."""
    if residency is None:
        return caller
    if residency.strip().lower() != LOCAL:
        raise BadRequest(f"{HEADER} must be `{LOCAL}`, or be left out", param=HEADER)
    return caller if caller.local_only else replace(caller, local_only_by=LocalOnlyBy.REQUEST)


def check(caller: Caller, model: str) -> None:
    """Of a model that the caller may use, were they not local-only. Raises Unavailable."""
    if caller.local_only and not open_to(caller, model):
        raise would_leave(caller, f"`{model}` is served by hosted engines alone")


def would_leave(caller: Caller, because: str) -> Unavailable:
    error = Unavailable(
        f"this request would have to leave this installation: {because}, and "
        f"{why(caller.local_only_by)}",
        code="no_local_engine",
    )
    error.extra.append((b"x-should-retry", b"false"))
    return error
