"""Makes embeddings, or ranks documents: asks an engine about a portion of the inputs at a time."""

from functools import partial
from typing import Any

import msgspec
import orjson

from inference.codec import vectors
from inference.codec.vectors import UnreadableVectors
from inference.engines import inputs
from inference.engines.base import LONGEST_ANSWER, EngineFailed
from inference.engines.transport.session import EngineSession
from inference.order import EMBED, Order
from inference.record.outcome import Outcome
from inference.record.parked import MOST_TIMES
from inference.stream.frames import Frame, Kind
from inference.stream.writer import Writer
from inference.tracing import span_values
from inference.tracing.spans import client_step
from inference.worker import token_counts
from inference.worker.handlers.patient_asking import Asking
from inference.worker.run.run import Run


class Vectors(Asking):
    """Answers a request of the task `embed` or `rerank`, whole.

    A preempted one begins anew, since part of an answer is worth nothing.
    """

    when_broken = "the engine sent no readable vectors"

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._body: dict[str, Any] = orjson.loads(run.order.body)
        self._embeds = run.order.task == EMBED
        self._items: list[bytes] = []  # of embeddings, as clients get them
        self._scores: list[float] = []
        self._size, self._tokens, self._answer = 0, 0, b""
        self._asked: Order | None = None  # of the portion that the engine works on

    @property
    def _inputs(self) -> list[Any]:
        return inputs.inputs_of(self._body, self.order.task)

    async def work(self, session: EngineSession, writer: Writer) -> None:
        hosted = self.engine.config.hosted
        most = inputs.HOSTED_PORTION if hosted else inputs.PORTION
        for portion in inputs.portions(self._inputs, most):
            self.run.stop_if_told()
            question = inputs.question(self._body, portion, self.order.task)
            self._asked = msgspec.structs.replace(self.order, body=orjson.dumps(question))
            self.first_at = None  # it has not begun with this portion
            await self.ask_patiently(partial(self._ask, session, self._asked, len(portion)))
            self._asked = None
        self._answer = self._whole()

    async def _ask(self, session: EngineSession, order: Order, count: int) -> None:
        with client_step(span_values.call_name(order, self.engine.config.model)) as span:
            body = await self.engine.answer(session, order)
            if span.is_on:
                span.tell(span_values.of_engine(order, self.engine.config, stream=False))
        try:
            rows, usage = self._read(body, count)
        except UnreadableVectors as problem:
            failure = EngineFailed(502, "engine_failed", f"the engine failed: {problem}")
            failure.cause = str(problem)
            raise failure from None
        self._tokens += self._counted(usage, order)
        if self._embeds:
            self._add(rows)
        else:
            self._scores += rows

    def _read(self, body: bytes, count: int) -> tuple[list[Any], dict[str, Any]]:
        read = vectors.embeddings_in if self._embeds else vectors.scores_in
        return read(body, count)

    def _counted(self, usage: dict[str, Any], order: Order) -> int:
        """Returns the engine's count of a portion, or ours if that is missing or impossible."""
        body = orjson.loads(order.body)
        most = self.engine.inputs_bound(body, order.task)
        tokens = token_counts.believable(usage, "prompt_tokens", most, least=1)
        if tokens is None:
            token_counts.alert(self.engine.config.id, usage)
            tokens = inputs.likely_tokens(body, order.task)
        return tokens

    # Answers -------------------------------------------------------------------------------------
    def _add(self, rows: list[bytes]) -> None:
        """Add vectors. Raises EngineFailed where they have fewer dimensions than asked for."""
        length, wanted = vectors.dimensions(rows[0]), self._body.get("dimensions")
        if wanted and wanted > length:
            raise _refused(400, "invalid_request", f"`dimensions` must be at most {length} here")
        for row in rows:
            vector = vectors.shortened(row, wanted) if wanted and wanted < length else row
            item = vectors.written(len(self._items), vector, self._body["encoding_format"])
            self._items.append(item)
            self._size += len(item) + 1
        self._check_size()

    def _check_size(self) -> None:
        """Raises EngineFailed as soon as it is clear that the answer will be too long."""
        each = self._size / len(self._items)
        if each * len(self._inputs) > LONGEST_ANSWER:
            fitting = int(LONGEST_ANSWER / each)
            what = f"send at most {fitting} inputs, or ask for base64 or fewer `dimensions`"
            message = f"the answer would have more than {LONGEST_ANSWER} bytes: {what}"
            raise _refused(400, "answer_too_long", message)

    def _whole(self) -> bytes:
        order = self.order
        if self._embeds:
            return vectors.embeddings(order.public_model, self._items, self._tokens)
        names, top_n = (order.public_id, order.public_model), self._body.get("top_n")
        answer = vectors.ranking(*names, self._scores, self._tokens, top_n)
        if self._body.get("return_documents"):
            for result in answer["results"]:
                result["document"] = {"text": self._inputs[result["index"]]}
        return orjson.dumps(answer)

    # The end -------------------------------------------------------------------------------------
    async def outcome(self, session: EngineSession, failure: EngineFailed | None) -> Outcome:
        engine = self.engine.config.id
        return msgspec.structs.replace(
            self.run.ending(failure),
            prompt_tokens=self._tokens + self._unfinished(failure),
            upstream=self.upstream,
            engine=engine if self.upstream and engine != self.order.queue else "",
            response=self._answer,
        )

    def _unfinished(self, failure: EngineFailed | None) -> int:
        """Returns the tokens of a portion that was cut off while the engine worked on it."""
        if not (self._asked and self.is_let_in and self.is_cut_off(failure)):
            return 0
        return inputs.likely_tokens(orjson.loads(self._asked.body), self._asked.task)

    def last_frame(self) -> Frame:
        return self.output.frame(Kind.BODY, self._answer)

    # Parking -------------------------------------------------------------------------------------
    def may_be_parked(self) -> bool:
        return not self.engine.config.hosted and self.run.earlier.parked.times < MOST_TIMES

    def may_requeue(self) -> bool:
        return not self._answer

    # Progress ------------------------------------------------------------------------------------
    @property
    def heard(self) -> int:
        return len(self._items) + len(self._scores)

    @property
    def work_units_so_far(self) -> int:
        return self._tokens


def _refused(status: int, code: str, message: str) -> EngineFailed:
    """Returns a failure that is the request's, not the engine's."""
    failure = EngineFailed(status, code, message)
    failure.engines_fault = False
    return failure
