"""What a job's first start fixes, so that every later one computes the same sums."""

import json
import os
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

import torch

from trainer.job import Job
from trainer.refusals import bad_order

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
    """Returns the plan of the first start, unless this is it. Refuses that of another order."""
    path = folder / FILE
    if not path.exists():
        return None
    plan = Plan(**json.loads(path.read_text()))
    if plan.identity != identity(job) or plan.processes != processes:
        raise bad_order("changed_order", "The checkpoints are of another order")
    if plan.threads != job.order.threads:
        job.events.info("threads", f"Goes on with {plan.threads} threads, as it began")
    if plan.torch != torch.__version__ or plan.device != device_here():
        job.events.warning("other_machine", "Other hardware or libraries: the sums may differ")
    return plan


def write_plan(plan: Plan, folder: Path) -> None:
    part = folder / f"{FILE}.part"
    part.write_text(json.dumps(asdict(plan)))
    part.rename(folder / FILE)


def device_here() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def identity(job: Job) -> str:
    order = job.order
    files = [path for path in (order.train, order.held_out) if path is not None and path.is_file()]
    parameters = {name: each for name, each in order.parameters.items() if name not in _OF_A_HOST}
    parts = [order.kind, str(order.seed), json.dumps(parameters, sort_keys=True)]
    parts += [_hash(path) for path in files]
    if order.base is not None:
        parts += [f"{each.name} {each.stat().st_size}" for each in _files(order.base)]
        parts += [_hash(each) for each in _files(order.base) if each.name == "config.json"]
    return sha256("\n".join(parts).encode()).hexdigest()


def _files(base: Path) -> list[Path]:
    return sorted(base.iterdir()) if base.is_dir() else [base]


def _hash(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
