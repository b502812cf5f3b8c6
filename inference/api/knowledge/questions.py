"""A question of a page or of the management API, which run in threads beside the event loop."""

import asyncio
from concurrent.futures import TimeoutError as TooLate

from inference.api.refusals import REFUSALS, as_error
from inference.errors import ApiError, Unauthorized, Unavailable
from inference.intake.context import Context
from inference.intake.submission import Arrival
from inference.knowledge.embedding import ROUTE, embed
from inference.knowledge.searching import Cited, search
from inference.models import KnowledgeBase
from tenants.authentication.authenticator import AuthenticationUnavailable, UnknownCaller
from tenants.caller import Caller
from tenants.models import ApiKey, Member

PATIENCE_S = 60.0
LONGEST = 2_000  # characters of a question
MOST = 50  # passages of an answer


def ask_from_thread(
    context: Context | None,
    who: ApiKey | Member,
    base: KnowledgeBase,
    question: str,
    most: int = 5,
    client_ip: str = "",
) -> list[Cited]:
    """Returns the best passages. The question is a request of `who`. Raises ApiError."""
    if context is None:
        raise Unavailable("this process takes no requests for models")
    asking = _ask(context, who, base, question, most, client_ip)
    future = asyncio.run_coroutine_threadsafe(asking, context.loop)
    try:
        return future.result(PATIENCE_S)
    except TooLate:
        future.cancel()
        raise Unavailable("the model has not answered in time; try again") from None
    except REFUSALS as refusal:
        raise as_error(refusal) from None


async def _ask(
    context: Context,
    who: ApiKey | Member,
    base: KnowledgeBase,
    question: str,
    most: int,
    client_ip: str,
) -> list[Cited]:
    caller = await _caller(context, who)
    arrival = Arrival(ROUTE, client_ip)
    (vector,) = await embed(context, caller, base.model, [question], arrival=arrival)
    return await search(base.pk, base.tenant_id, question, vector, most)


async def _caller(context: Context, who: ApiKey | Member) -> Caller:
    """Raises ApiError."""
    try:
        if isinstance(who, ApiKey):
            return await context.authenticator.by_digest(bytes(who.digest))
        return await context.authenticator.by_member(who.pk)
    except UnknownCaller:
        raise Unauthorized("this key or membership has ended") from None
    except AuthenticationUnavailable:
        raise Unavailable("the database does not answer; try again", retry_after=2) from None


__all__ = ["ApiError", "ask_from_thread"]
