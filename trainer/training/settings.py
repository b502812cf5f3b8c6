"""Settings of a training loop: epochs, batches, learning rate, when it saves."""

from dataclasses import dataclass

from trainer.order import Order
from trainer.training.input.sequences import Sequences

LEAST_SHARE = 0.05  # of the learning rate, at the end
_RATES = {"lora": 4e-4, "full": 5e-5}


@dataclass(frozen=True, slots=True)
class Settings:
    epochs: int
    learning_rate: float
    batch: int
    warm_up: int
    save_every: int
    evaluate_every: int | None
    patience: int
    most_steps: int | None
    seed: int

    @classmethod
    def of(cls, order: Order) -> "Settings":
        parameters = order.parameters
        return cls(
            epochs=parameters["epochs"],
            learning_rate=parameters["learning_rate"] or _RATES[parameters.get("method", "full")],
            batch=parameters["batch"],
            warm_up=parameters["warm_up"],
            save_every=parameters["save_every"],
            evaluate_every=parameters["evaluate_every"],
            patience=parameters.get("patience", 0),
            most_steps=parameters["most_steps"],
            seed=order.seed,
        )

    def steps_of_epoch(self, data: Sequences) -> int:
        return -(-len(data) // self.batch)

    def total_steps(self, data: Sequences) -> int:
        steps = self.epochs * self.steps_of_epoch(data)
        return min(steps, self.most_steps or steps)

    def rate(self, step: int, total: int) -> float:
        """Rises over the warm-up, a fifth of the run at most, then falls evenly."""
        warm_up = max(1, min(self.warm_up, total // 5))
        rise = min(1.0, (step + 1) / warm_up)
        return self.learning_rate * rise * max(LEAST_SHARE, 1 - step / total)

    def evaluates_after(self, step: int, data: Sequences) -> bool:
        return step % (self.evaluate_every or self.steps_of_epoch(data)) == 0
