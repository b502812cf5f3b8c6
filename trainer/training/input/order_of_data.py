"""The order in which sequences are trained on: decided by seed and epoch alone."""

from dataclasses import dataclass

import torch

from trainer.training.input.sequences import Batch, Sequences
from trainer.training.processes.ranks import Ranks


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """`share` is 0 for one that only keeps a process in step with the others."""

    batch: Batch
    share: float


@dataclass(slots=True)
class DataOrder:
    """Hands out the micro-batches of each step to the processes."""

    data: Sequences
    batch: int
    micro_batch: int
    seed: int
    ranks: Ranks
    _epoch: int = -1
    _permutation: list[int] | None = None

    def numbers(self, step: int) -> list[int]:
        """Returns the numbers of the sequences of a step."""
        epoch, at = divmod(step, -(-len(self.data) // self.batch))
        permutation = self._of_epoch(epoch)
        return permutation[at * self.batch : (at + 1) * self.batch]

    def micro_steps(self, step: int) -> int:
        return -(-len(self.numbers(step)) // (self.micro_batch * self.ranks.count))

    def micro_batch_of(self, step: int, micro_step: int) -> MicroBatch:
        numbers = self.numbers(step)
        first = (micro_step * self.ranks.count + self.ranks.number) * self.micro_batch
        part = numbers[first : first + self.micro_batch]
        batch = self.data.batch(part or numbers[: self.micro_batch])
        return MicroBatch(batch, 1.0 if part else 0.0)

    def _of_epoch(self, epoch: int) -> list[int]:
        if epoch != self._epoch or self._permutation is None:
            generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch) % 2**63)
            self._permutation = torch.randperm(len(self.data), generator=generator).tolist()
            self._epoch = epoch
        return self._permutation
