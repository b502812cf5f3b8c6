"""Reads a stored response from the record: its request, its state and its answer."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from inference.models import Completion, State, StoredResponse, Usage
from inference.order import Order, Stored
from inference.record.recorded_requests import recorded_answer, recorded_order


@dataclass(frozen=True, slots=True)
class RecordedResponse:
    """A response as it is on record. `state` is its completion's, `answer` its whole body.

    `error_code` says why it failed, or was cancelled.
    """

    order: Order
    stored: Stored
    completion: Completion
    state: str
    answer: bytes | None = None
    error_code: str = ""

    @property
    def id(self) -> UUID:
        return self.order.id

    @property
    def is_open(self) -> bool:
        return self.state == State.OPEN

    @property
    def items(self) -> list[dict[str, Any]]:
        """Returns its input items, those of earlier responses first."""
        items: list[dict[str, Any]] = orjson.loads(self.stored.items)
        return items

    @property
    def head(self) -> dict[str, Any]:
        """Returns what its object is made with beside the answer."""
        head: dict[str, Any] = orjson.loads(self.stored.head)
        return head


def recorded(row: StoredResponse) -> RecordedResponse | None:
    """Returns the response, in its tenant's scope; None if its texts have been erased."""
    completion = Completion.objects.filter(pk=row.pk).first()  # before its answer: it may end now
    record = recorded_order(row.pk)
    if completion is None or record is None or record[1].stored is None:
        return None
    order, stored = record[1], record[1].stored
    if completion.state == State.OPEN:
        return RecordedResponse(order, stored, completion, completion.state)
    answer = recorded_answer(order) if completion.state == State.DONE else None
    if completion.state == State.DONE and answer is None:
        return None
    errors = Usage.objects.filter(completion=completion).values_list("error_code", flat=True)
    error_code = errors.first() or ""
    return RecordedResponse(order, stored, completion, completion.state, answer, error_code)
