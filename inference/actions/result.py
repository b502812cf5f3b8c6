"""The outcome of a call, as the assistant gets it."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from inference.models.assistants.action_call import CallState


@dataclass(frozen=True, slots=True)
class ActionResult:
    """`state` is succeeded, failed, not_sent or unknown. After unknown a person takes over."""

    state: CallState
    action: str
    call_id: UUID | None = None
    answer: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    texts: dict[str, str] = field(default_factory=dict)  # to the person, by language

    @property
    def succeeded(self) -> bool:
        return self.state == CallState.SUCCEEDED

    @property
    def needs_person(self) -> bool:
        return self.state == CallState.UNKNOWN

    def text(self, language: str) -> str:
        """Returns the action's text for this outcome, "" if it has none."""
        return self.texts.get(language) or next(iter(self.texts.values()), "")
