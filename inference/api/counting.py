"""Counts a prompt's tokens by the tokenizer and the template of the model's own engine."""

from functools import partial

import orjson

from inference.api import engine_questions
from inference.engines.base import Engine
from inference.engines.transport.session import EngineSession
from inference.errors import NotFound
from inference.intake.submission import Submission


async def input_tokens(submission: Submission) -> int:
    """Returns the tokens of a checked request. Raises NotFound, Unavailable."""
    return await engine_questions.answer_of(submission, partial(_counted, submission))


async def _counted(submission: Submission, engine: Engine, session: EngineSession) -> int:
    prompt = engine.prepare(orjson.loads(submission.body), chat=True)
    tokens = await engine.count_chat(session, prompt)
    if tokens is None:
        what = f"the engines of `{engine.config.name}` cannot be asked for tokens"
        raise NotFound(what, code="not_offered")
    return tokens
