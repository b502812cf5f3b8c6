"""Results of a turn's steps, from which another process goes on."""

import msgspec

from inference.assistants.state import State, Step
from inference.assistants.understanding import Prediction


class Passage(msgspec.Struct, frozen=True, omit_defaults=True):
    """A passage that was found, with its place."""

    id: str
    title: str
    text: str
    score: float
    url: str = ""


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """`state` and `step` are those after the message, or after the last search or action.

    `outcome` is the text that an action gives the person about its result.
    """

    state: State | None = None
    step: Step | None = None
    predictions: list[Prediction] = []
    passages: list[Passage] = []
    outcome: str = ""


packed = msgspec.json.encode
_decode = msgspec.json.Decoder(Progress).decode


def unpacked(stored: bytes) -> Progress:
    return _decode(stored) if stored else Progress()
