"""`x-forebay-residency: local`: this request is for engines of this installation alone.

As of a tenant that is local-only: hosted pools do not exist for it, neither where it is routed nor
where it is handed on, and a hosted engine's runner refuses it (worker/handlers/base.py).
"""

from dataclasses import replace

from inference.engines.base import Engine
from inference.errors import BadRequest, Unavailable
from inference.intake.route import open_to
from tenants.caller import Caller

HEADER = "x-forebay-residency"
LOCAL = "local"


def bound(caller: Caller, residency: str | None) -> Caller:
    """Raises BadRequest."""
    if residency is None:
        return caller
    if residency.strip().lower() != LOCAL:
        raise BadRequest(f"{HEADER} must be `{LOCAL}`, or be left out", param=HEADER)
    return replace(caller, local_only=True)


def check(caller: Caller, engine: Engine) -> None:
    """Of a model that the caller may use, were it not for the header. Raises Unavailable."""
    if open_to(caller, engine.config.name):
        return
    error = Unavailable(
        f"this request would have to leave this installation: `{engine.config.name}` is served by "
        f"hosted engines alone, and {HEADER} is `{LOCAL}`",
        code="no_local_engine",
    )
    error.extra.append((b"x-should-retry", b"false"))
    raise error
