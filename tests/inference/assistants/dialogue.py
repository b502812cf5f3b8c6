"""A dialogue with the state machine: what people write, the step that follows."""

from collections.abc import Sequence
from datetime import date
from types import SimpleNamespace
from typing import Any

from inference.assistants.spec import AssistantSpec
from inference.assistants.state import Result, State, Step
from inference.assistants.turns import after_action, after_search, take
from inference.assistants.understanding import Prediction
from tests.inference.assistants.shop import SHOP

TODAY = date(2026, 11, 30)  # a Monday


class Dialogue:
    def __init__(self, spec: AssistantSpec = SHOP, state: State | None = None) -> None:
        self.spec, self.state = spec, state or State(language="en")

    def hear(self, text: str, predictions: Sequence[Prediction] = ()) -> Step:
        self.state, step = take(self.spec, self.state, text, predictions, TODAY)
        return step

    def result(self, status: Any = "done", number: int | None = None, **values: Any) -> Step:
        number = self.state.actions if number is None else number
        result = Result(status, number, values)
        self.state, step = after_action(self.spec, self.state, result)
        return step

    def passages(self, *scores: float) -> Step:
        passages: Any = [SimpleNamespace(score=score) for score in scores]
        self.state, step = after_search(self.spec, self.state, passages)
        return step
