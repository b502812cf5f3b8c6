"""Embeds texts for a caller: requests like any other, with limits, quotas, usage and record."""

import math
import struct

import orjson

from inference.codec import vectors
from inference.errors import ApiError
from inference.intake.access.allowed import engine_for
from inference.intake.context import Context
from inference.intake.submission import Arrival, Options, Submission, read
from inference.intake.submit import submit
from inference.knowledge import token_estimate
from inference.stream.frames import Frame, Kind
from inference.validation.requests import Form
from tenants.caller import Caller

ROUTE = "knowledge"
BATCH = 64  # texts of one request
MOST_CUTS = 4  # times that texts are cut again, if the engine still finds them too long
SHORTER = 0.6
TOO_LONG = "context_length_exceeded"
_COUNTED = 1  # address of a caller who is charged for it elsewhere, or has none

Vector = list[float]  # of length 1


class EmbeddingFailed(ApiError):
    """The request was accepted, and its engine failed. `status` and `code` are the engine's."""

    is_refusal = False

    def __init__(self, frame: Frame) -> None:
        error = orjson.loads(frame.body)["error"]
        super().__init__(error["message"], code=error["code"], retry_after=frame.retry_after)
        self.status = frame.status


async def embed(
    context: Context,
    caller: Caller,
    model: str,
    texts: list[str],
    *,
    arrival: Arrival | None = None,
    klass: str = "",
) -> list[Vector]:
    """Returns a vector of length 1 for each text, by BATCH texts a request.

    A text is cut to what the model takes. `klass` is a class of work; "" is that of the caller's
    plan. Raises NotAllowed, NoSuchModel, NotAdmitted, OutOfService and ApiError, of which
    EmbeddingFailed is an accepted request's.
    """
    arrival = arrival or Arrival(ROUTE, address_counted_at=_COUNTED)
    embedded = list[Vector]()
    for start in range(0, len(texts), BATCH):
        portion = texts[start : start + BATCH]
        embedded += await _embed(context, caller, model, portion, arrival, klass)
    return embedded


async def _embed(
    context: Context, caller: Caller, model: str, texts: list[str], arrival: Arrival, klass: str
) -> list[Vector]:
    share = 1.0
    for cuts in range(MOST_CUTS + 1):
        submission = _submission(caller, model, texts, arrival, klass, share)
        try:
            return await _answer(context, submission, len(texts))
        except EmbeddingFailed as problem:
            if problem.code != TOO_LONG or cuts == MOST_CUTS:
                raise
            share *= SHORTER
    raise AssertionError


def _submission(
    caller: Caller, model: str, texts: list[str], arrival: Arrival, klass: str, share: float
) -> Submission:
    """Returns the request for texts that take a `share` of the model's context at most."""
    engine = engine_for(caller, model)
    most = int((engine.context_length - token_estimate.AROUND) * share)
    inputs = [token_estimate.cut(text, most) or " " for text in texts]
    body = {"model": model, "input": inputs, "encoding_format": "base64"}
    length = len(orjson.dumps(body))
    return read(caller, body, length, Form.EMBEDDINGS, arrival, Options(klass=klass))


async def _answer(context: Context, submission: Submission, count: int) -> list[Vector]:
    answer = await submit(context, submission)
    frame = await answer.whole()
    if frame.kind == Kind.ERROR:
        raise EmbeddingFailed(frame)
    listed, _usage = vectors.embeddings_in(frame.body, count)
    return [_unit(vector) for vector in listed]


def _unit(vector: bytes) -> Vector:
    numbers = struct.unpack(f"<{vectors.dimensions(vector)}f", vector)
    length = math.hypot(*numbers) or 1.0
    return [number / length for number in numbers]
