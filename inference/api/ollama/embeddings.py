"""The endpoints for embeddings: `/api/embed`, and the older `/api/embeddings` for one text."""

import struct
from collections.abc import Callable

import orjson

from inference.api import idempotency
from inference.api.http.request import Request, whole
from inference.api.ollama import delivery, fields, names, requests
from inference.api.ollama.lines import Timing
from inference.api.ollama.views import arrived, check_model
from inference.codec import vectors
from inference.codec.answer_translator import count
from inference.intake.submission import Options
from inference.stream.frames import Kind
from inference.validation.requests import Form
from inference.validation.schemas import Body
from tenants.caller import Caller

# Writes an answer: OpenAI's, the number of inputs, the client's name of the model.
Writer = Callable[[bytes, int, str, Timing], bytes]


async def embed(request: Request) -> None:
    timing, caller, raw, present = await arrived(request, fields.EMBED, fits_whole=False)
    if present.get("input", "") in ("", []):
        name = names.name_in(present)
        await check_model(request, caller, name)
        return await request.answer_json({"model": name, "embeddings": []})
    return await _embed(request, caller, present, len(raw), timing, _many)


async def embed_one(request: Request) -> None:
    timing, caller, raw, present = await arrived(request, fields.EMBEDDINGS)
    if not (prompt := present.pop("prompt", "")):
        await check_model(request, caller, names.name_in(present))
        return await request.answer_json({"embedding": []})
    return await _embed(request, caller, {**present, "input": prompt}, len(raw), timing, _one)


async def _embed(
    request: Request, caller: Caller, present: Body, length: int, timing: Timing, write: Writer
) -> None:
    call, body = request.call, requests.embed(caller, present)
    options = Options.of(request.header_or_none, client_body=present)
    submission = await call.read(caller, body, length, Form.EMBEDDINGS, options)
    answer = await idempotency.submit(call, submission)
    timing.recorded()
    frame = await whole(request, answer)
    if frame.kind == Kind.ERROR:
        return await delivery.send_error(request, frame)
    inputs = 1 if isinstance(body["input"], str) else len(body["input"])
    return await request.answer(write(frame.body, inputs, names.name_in(present), timing))


# Answers ------------------------------------------------------------------------------------------
def _many(answer: bytes, inputs: int, model: str, timing: Timing) -> bytes:
    """Returns the vectors with a length of 1, as Ollama makes them."""
    listed, usage = vectors.embeddings_in(answer, inputs)
    unit = [vectors.shortened(vector, vectors.dimensions(vector)) for vector in listed]
    durations = timing.durations()
    body = {
        "model": model,
        "embeddings": list(map(_numbers, unit)),
        "total_duration": durations["total_duration"],
        "load_duration": durations["load_duration"],
        "prompt_eval_count": count(usage, "prompt_tokens") or 0,
    }
    return orjson.dumps(body)


def _one(answer: bytes, inputs: int, model: str, timing: Timing) -> bytes:
    """Returns the vector as it came."""
    (vector,), _ = vectors.embeddings_in(answer, inputs)
    return orjson.dumps({"embedding": _numbers(vector)})


def _numbers(vector: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{vectors.dimensions(vector)}f", vector)
