"""Asks an engine for the tokens of a policy's labels: each has to be one token of its own."""

from collections.abc import Mapping

from inference.api import engine_questions
from inference.decisions import scoring
from inference.decisions.spec import PolicySpec
from inference.engines.base import Engine
from inference.engines.transport.session import EngineSession
from inference.errors import NotFound
from inference.intake.submission import Submission


class Indistinct(Exception):
    """The label begins with a token that is not all of it."""

    def __init__(self, label: str, token: str) -> None:
        super().__init__(label)
        self.label, self.token = label, token


async def tokens(submission: Submission, spec: PolicySpec) -> Mapping[str, str] | None:
    """Returns the first token of each label; None if the engine is not asked about tokens.

    Raises Indistinct, Unavailable.
    """
    if "text" not in submission.engine.tokenizes:
        return None

    async def ask(engine: Engine, session: EngineSession) -> dict[str, str]:
        texts = {"positive": spec.positive, "negative": spec.negative}
        return {name: await _first(engine, session, text) for name, text in texts.items()}

    try:
        firsts = await engine_questions.answer_of(submission, ask)
    except NotFound:  # hosted engines alone
        return None
    for name, text in (("positive", spec.positive), ("negative", spec.negative)):
        if scoring.label(firsts[name]) != scoring.label(text):
            raise Indistinct(text, firsts[name])
    return firsts


async def _first(engine: Engine, session: EngineSession, text: str) -> str:
    body = engine.prepare({"model": engine.config.name, "prompt": text}, chat=False)
    numbers = await engine.tokens_of(session, body, chat=False, special=False)
    return await engine.text_of(session, numbers[:1])
