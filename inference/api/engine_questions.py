"""Questions to an engine that answers at once, beside the queue: about the tokens of a prompt."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp

from inference.engines.base import UNREADABLE, Engine
from inference.engines.health import reachability
from inference.engines.transport.session import EngineSession
from inference.errors import ApiError, BadRequest, NotFound, Unavailable
from inference.intake.limits.concurrency import ConcurrencyLimit
from inference.intake.route import open_to
from inference.intake.submission import Submission

log = logging.getLogger(__name__)
AT_ONCE = 16  # of a tenant in this process: an engine's tokenizer is shared by all
_questions = ConcurrencyLimit(4 * AT_ONCE)
_REFUSED = (400, 422)  # statuses of an engine for a prompt
T = TypeVar("T")


async def answer_of(
    submission: Submission, ask: Callable[[Engine, EngineSession], Awaitable[T]]
) -> T:
    """Returns what an engine of the model says.

    Raises BadRequest for a prompt that the engine refuses; NotFound, Unavailable; `ask` its own.
    """
    engine, owner = _engine(submission), submission.caller.tenant_id
    if _questions.enter((owner, AT_ONCE)) is not None:
        raise Unavailable("too many prompts are counted here; try again", retry_after=1)
    try:
        async with EngineSession() as session:
            return await ask(engine, session)
    except (aiohttp.ClientError, TimeoutError, *UNREADABLE) as problem:
        raise _failure(engine, problem) from None
    finally:
        _questions.leave(owner)


def _failure(engine: Engine, problem: Exception) -> ApiError:
    if isinstance(problem, aiohttp.ClientResponseError) and problem.status in _REFUSED:
        what = "the model's engine does not take this prompt: its template may refuse it"
        return BadRequest(what, code="unsupported_value")
    log.warning("%s: no answer about tokens: %s", engine.config.id, type(problem).__name__)
    what = "the engine did not count this prompt; try again"
    return Unavailable(what, code="engine_unavailable", retry_after=2)


def _engine(submission: Submission) -> Engine:
    """Returns an engine that answers, and may see the prompt. Raises NotFound, Unavailable.

    A question is on no record: so it is of this installation, which its prompt does not leave.
    """
    model = submission.engine.config.name
    pools = open_to(submission.caller, model)
    engines = [engine for pool in pools for engine in pool.engines]
    own = [engine for engine in engines if not engine.config.hosted]
    if engines and not own:
        what = f"hosted engines alone serve `{model}`, which are not asked about tokens"
        raise NotFound(what, code="not_offered")
    for engine in own:
        if reachability.available(engine):
            return engine
    what = f"no engine of `{model}` answers at the moment; try again"
    raise Unavailable(what, code="engine_unavailable", retry_after=2)
