"""Where a run is: what a checkpoint has beside tensors."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "state.json"


@dataclass(slots=True)
class Position:
    """`micro_steps` and `loss` are of the step that has begun and not ended.

    `unjudged_loss` is that of a step which has ended, while its evaluation has not.
    """

    step: int = 0
    micro_steps: int = 0
    tokens: int = 0
    loss: float = 0.0
    unjudged_loss: float | None = None
    first_loss: float | None = None  # on the held-out part, before the first step
    best_loss: float | None = None
    best_step: int | None = None
    evaluations_without_gain: int = 0

    @property
    def name(self) -> str:
        return f"step-{self.step:06d}"

    @property
    def second_name(self) -> str:
        """Names it where that is taken: `-e` before the evaluation, `-m0002` micro-steps later."""
        part = f"-m{self.micro_steps:04d}" if self.micro_steps else ""
        return self.name + (part if self.unjudged_loss is None else "-e")

    def judge(self, loss: float) -> None:
        """Notes a loss on the held-out part."""
        if self.first_loss is None:
            self.first_loss = loss
        if self.best_loss is None or loss < self.best_loss:
            self.best_loss, self.best_step, self.evaluations_without_gain = loss, self.step, 0
        else:
            self.evaluations_without_gain += 1

    def write(self, folder: Path) -> None:
        (folder / FILE).write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, folder: Path) -> "Position":
        return cls(**json.loads((folder / FILE).read_text()))
