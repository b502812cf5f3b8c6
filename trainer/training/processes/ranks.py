"""The processes that share each step: their numbers, sums and agreements."""

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as distributed


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among `count`; alone, everything is its own."""

    number: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        return self.number == 0

    def any(self, flag: bool) -> bool:
        """Says whether it holds in one of them: all stop at the same place."""
        return self.sum(float(flag)) > 0

    def sum(self, value: float) -> float:
        if self.count == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64)
        distributed.all_reduce(total)
        return float(total)

    def wait(self) -> None:
        if self.count > 1:
            distributed.barrier()


def join_ranks() -> Ranks:
    """Joins the processes that torchrun started, by the variables that it sets."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Ranks()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, timeout=timedelta(hours=2))
    return Ranks(distributed.get_rank(), count)


def leave_ranks(ranks: Ranks) -> None:
    if ranks.count > 1:
        distributed.destroy_process_group()
