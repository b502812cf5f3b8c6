"""The trainer's parameters that people set, with the trainer's own bounds and defaults.

`trainer/kinds.py` is the table of all; nothing here imports the trainer, and a test compares both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inference.models import JobKind


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter: a choice where it has `choices`, else of the type of its bounds.

    Without a default the trainer chooses. A `simple` one stands in the form's first part.
    """

    name: str
    default: Any = None
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    simple: bool = False

    @property
    def is_flag(self) -> bool:
        return isinstance(self.default, bool)

    @property
    def is_whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)


P = Parameter
_EPOCHS = P("epochs", 3, 1, 1000, simple=True)
_STEPS = (
    P("batch", 8, 1, 4096),
    P("length", 256, 16, 131_072),
    P("warm_up", 20, 0, 100_000),
    P("save_every", 20, 1, 100_000),
    P("evaluate_every", None, 1, 100_000),
    P("most_steps", None, 1, 10**9),
)
_TRAINING = (
    P("method", "lora", choices=("lora", "full"), simple=True),
    _EPOCHS,
    P("learning_rate", None, 0.0, 1.0, simple=True),
    P("rank", 16, 1, 256),
    P("patience", 3, 0, 1000),
    *_STEPS,
)
PARAMETERS: dict[str, tuple[Parameter, ...]] = {
    JobKind.FINE_TUNE: _TRAINING,
    JobKind.PRETRAIN: _TRAINING,
    JobKind.DISTIL: (
        P("layers", None, 1, 1000, simple=True),
        P("vocabulary", None, 256, 10**7, simple=True),
        P("epochs", 1, 1, 1000, simple=True),
        P("feed_forward", None, 32, 10**6),
        P("teacher_epochs", 1, 0, 1000),
        P("learning_rate", 8e-4, 0.0, 1.0),
        *_STEPS,
    ),
    JobKind.QUANTISE: (P("format", "q8_0", choices=("q8_0", "int8"), simple=True),),
    JobKind.CONVERT: (
        P("to", "gguf", choices=("gguf", "hf"), simple=True),
        P("dtype", "f16", choices=("f32", "f16", "q8_0"), simple=True),
    ),
    JobKind.PREPARE: (
        P("deduplicate", True, simple=True),
        P("mask", True, simple=True),
        P("held_out", 5.0, 0.0, 50.0, simple=True),
        P("similarity", 0.8, 0.3, 1.0),
        P("most_broken", 1000, 0, 10**9),
    ),
    JobKind.SCORE: (
        P("length", 256, 16, 131_072),
        P("batch", 4, 1, 4096),
        P("most_tokens", None, 16, 10**9),
    ),
}


def with_defaults(kind: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values in force of the parameters above; None where the trainer chooses."""
    return {each.name: parameters.get(each.name, each.default) for each in PARAMETERS[kind]}
