"""What a job's first start fixes, so that every later one computes the same sums."""

import json
import os
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path

import torch

from trainer.job import Job
from trainer.refusals import bad_order
from trainer.training.input import known_lines
from trainer.training.input.lines import file_hash
from trainer.training.input.opening import DATA

FILE = "plan.json"
_OF_A_HOST = ("memory", "tasks")  # parameters that may change: no step depends on them


@dataclass(frozen=True, slots=True)
class Plan:
    """`identity` is a hash of all that the result depends on; another one is another job."""

    identity: str
    threads: int
    processes: int
    device: str
    micro_batch: int
    bf16: bool
    torch: str

    def apply(self) -> None:
        torch.set_num_threads(self.threads)
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else its sums vary
        torch.use_deterministic_algorithms(True, warn_only=True)


def read_plan(job: Job, folder: Path, processes: int) -> Plan | None:
    """Returns the plan of the first start, unless this is it. Refuses that of another order.

    Where rows have left the data, the plan is that of the others, and is to be written.
    """
    path = folder / FILE
    if not path.exists():
        return None
    plan, now = Plan(**json.loads(path.read_text())), identity(job)
    if plan.identity != now and _has_lost_lines(job, plan, folder / DATA):
        job.events.warning("fewer_rows", "Rows have left the data: the others go on in a new order")
        plan = replace(plan, identity=now)
    if plan.identity != now or plan.processes != processes:
        raise bad_order("changed_order", "The checkpoints are of another order")
    if plan.threads != job.order.threads:
        job.events.info("threads", f"Goes on with {plan.threads} threads, as it began")
    if plan.torch != torch.__version__ or plan.device != device_here():
        job.events.warning("other_machine", "Other hardware or libraries: the sums may differ")
    return plan


def _has_lost_lines(job: Job, plan: Plan, data: Path) -> bool:
    """Returns whether the order is the same but for lines that the data has no more."""
    before = known_lines.noted_hashes(data)
    if before is None or plan.identity != identity(job, before):
        return False
    return known_lines.has_known_lines(job.order, data)


def write_plan(plan: Plan, folder: Path) -> None:
    part = folder / f"{FILE}.part"
    part.write_text(json.dumps(asdict(plan)))
    part.rename(folder / FILE)


def device_here() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def identity(job: Job, data: list[str] | None = None) -> str:
    """Returns the hash, as if the data's files had these hashes where some are given."""
    order = job.order
    parameters = {name: each for name, each in order.parameters.items() if name not in _OF_A_HOST}
    parts = [order.kind, str(order.seed), json.dumps(parameters, sort_keys=True)]
    parts += known_lines.data_hashes(order) if data is None else data
    if order.base is not None:
        parts += [f"{each.name} {each.stat().st_size}" for each in _files(order.base)]
        parts += [file_hash(each) for each in _files(order.base) if each.name == "config.json"]
    return sha256("\n".join(parts).encode()).hexdigest()


def _files(base: Path) -> list[Path]:
    return sorted(base.iterdir()) if base.is_dir() else [base]
