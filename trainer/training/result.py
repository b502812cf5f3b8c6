"""What a run leaves in its output: the best weights, as a model or adapter that serves."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

from trainer.formats.adapter import write_adapter
from trainer.job import Job
from trainer.refusals import Refusal
from trainer.training.checkpoints.position import Position
from trainer.training.checkpoints.weights import Weights
from trainer.training.processes.ranks import Ranks


def write_result(job: Job, weights: Weights, position: Position, ranks: Ranks) -> dict[str, Any]:
    tensors, target = weights.tensors(), job.order.output / weights.folder
    if ranks.is_first:
        part = target.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        weights.write(part, tensors)
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)
        if weights.folder == "adapter":
            _write_gguf(job, target, weights.base)
        write_report(job, figures(position))
    ranks.wait()
    return {weights.folder: str(target), **figures(position)}


def write_report(job: Job, report: dict[str, Any]) -> None:
    (job.order.output / "report.json").write_text(json.dumps(report, indent=1))


def _write_gguf(job: Job, adapter: Path, base: Path) -> None:
    """Writes the adapter for llama.cpp too, where that has such models."""
    try:
        write_adapter(adapter, base, job.order.output / "adapter.gguf")
    except Refusal as refusal:
        job.events.warning("no_gguf", f"There is no GGUF of the adapter: {refusal.message}")


def figures(position: Position) -> dict[str, Any]:
    """Returns how it went; perplexities are of the held-out part, before and at its best."""
    best = position.step if position.best_step is None else position.best_step
    return {
        "steps": position.step,
        "tokens": position.tokens,
        "best_step": best,
        "held_out_perplexity_before": _perplexity(position.first_loss),
        "held_out_perplexity": _perplexity(position.best_loss),
    }


def _perplexity(loss: float | None) -> float | None:
    return None if loss is None else round(math.exp(min(loss, 700.0)), 4)
