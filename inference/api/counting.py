"""Counts a prompt's tokens by the tokenizer and the template of the model's own engine."""

import logging

import aiohttp
import orjson

from inference.engines.base import UNREADABLE, Engine
from inference.engines.health import reachability
from inference.engines.transport.session import EngineSession
from inference.errors import NotFound, Unavailable
from inference.intake.limits.concurrency import ConcurrencyLimit
from inference.intake.route import open_to
from inference.intake.submission import Submission

log = logging.getLogger(__name__)
AT_ONCE = 16  # of a tenant in this process: an engine's tokenizer is shared by all
_counts = ConcurrencyLimit(4 * AT_ONCE)


async def input_tokens(submission: Submission) -> int:
    """Returns the tokens of a checked request. Raises NotFound, Unavailable."""
    engine, owner = _engine(submission), submission.caller.tenant_id
    if _counts.enter((owner, AT_ONCE)) is not None:
        raise Unavailable("too many prompts are counted here; try again", retry_after=1)
    try:
        return await _counted(engine, submission)
    finally:
        _counts.leave(owner)


def _engine(submission: Submission) -> Engine:
    """Returns an engine that answers, and may see the prompt. Raises Unavailable."""
    model = submission.engine.config.name
    pools = open_to(submission.caller, model)
    candidates = (engine for pool in pools for engine in pool.engines)
    for engine in candidates:
        if reachability.available(engine):
            return engine
    what = f"no engine of `{model}` answers at the moment; try again"
    raise Unavailable(what, code="engine_unavailable", retry_after=2)


async def _counted(engine: Engine, submission: Submission) -> int:
    prompt = engine.prepare(orjson.loads(submission.body), chat=True)
    try:
        async with EngineSession() as session:
            tokens = await engine.count_chat(session, prompt)
    except (aiohttp.ClientError, TimeoutError, *UNREADABLE) as problem:
        log.warning("%s: cannot count a prompt: %s", engine.config.id, type(problem).__name__)
        what = "the engine did not count this prompt; try again"
        raise Unavailable(what, code="engine_unavailable", retry_after=2) from None
    if tokens is None:
        what = f"the engines of `{engine.config.name}` cannot be asked for tokens"
        raise NotFound(what, code="not_offered")
    return tokens
