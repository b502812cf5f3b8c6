"""What one loop needs: a model, what is trained of it, data, and where its checkpoints lie."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from trainer.job import Job
from trainer.training.checkpoints.weights import Weights, trained
from trainer.training.input.opening import Data
from trainer.training.input.order_of_data import DataOrder
from trainer.training.objective import Loss, summed_cross_entropy
from trainer.training.plan import Plan
from trainer.training.processes.ranks import Ranks
from trainer.training.settings import Settings

MOMENTS = (0.9, 0.95)


@dataclass(frozen=True, slots=True)
class Task:
    """`steps_before` counts those of an earlier loop of the same job."""

    job: Job
    folder: Path
    model: Any
    weights: Weights
    data: Data
    settings: Settings
    plan: Plan
    ranks: Ranks = field(default_factory=Ranks)
    loss: Loss = summed_cross_entropy
    steps_before: int = 0
    most_checkpoints: int = 10

    @property
    def total(self) -> int:
        return self.settings.total_steps(self.data.train)

    def order_of_data(self) -> DataOrder:
        settings = self.settings
        size = min(self.plan.micro_batch, settings.batch)
        return DataOrder(self.data.train, settings.batch, size, settings.seed, self.ranks)

    def optimiser(self) -> Any:
        weights = list(trained(self.model).values())
        rate = self.settings.learning_rate
        return torch.optim.AdamW(weights, lr=rate, betas=MOMENTS, weight_decay=0.0)
