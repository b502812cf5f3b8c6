"""Orders of kind score: a folder, with or without an adapter, on a task set."""

import json
from pathlib import Path
from typing import Any

import torch

from trainer.base.folder import base_folder, is_int8
from trainer.base.opening import open_model, open_tokenizer
from trainer.job import Job
from trainer.refusals import bad_data, bad_order
from trainer.scoring.answers import Reader
from trainer.scoring.calibration import FEW_ROWS, fit, measures
from trainer.scoring.calibrator import Calibrator, write_calibrator
from trainer.scoring.figures import Scores, score
from trainer.scoring.tasks import TaskSet, read_task_set


def run(job: Job) -> dict[str, Any]:
    """Scores `held_out` where there is one, else `train`; a calibrator is fitted on `train`.

    `scores.json` has each item's probability of the second of two choices.
    """
    torch.set_num_threads(job.order.threads)
    train, held_out = job.order.train, job.order.held_out
    assert train is not None  # the table of kinds says so
    reader, method = _reader(job), job.order.parameters["calibrate"]
    if method is not None and held_out is None:
        raise bad_order("missing_key", "A calibrator needs data.held_out to be judged on")
    task_set = read_task_set(held_out or train)
    scores = _scores(job, task_set, reader)
    report: dict[str, Any] = {
        "kind": task_set.kind,
        "items": len(task_set.items),
        "figures": scores.figures,
    }
    if scores.chances and len(scores.chances) == len(task_set.items):
        report["scores"] = measures(scores.chances, _labels(task_set))
        (job.order.output / "scores.json").write_text(json.dumps(scores.chances))
    if method is not None:
        calibrator = _calibrator(job, read_task_set(train), reader, method)
        report["calibrated"] = _measured(calibrator, scores, task_set)
    (job.order.output / "report.json").write_text(json.dumps(report, indent=1))
    return {"report": str(job.order.output / "report.json"), "figures": scores.figures}


def _reader(job: Job) -> Reader:
    base, parameters = base_folder(job), job.order.parameters
    model = open_model(base, eight_bits=is_int8(base))
    if parameters["adapter"] is not None:
        model = _with_adapter(model, Path(parameters["adapter"]))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    bf16 = parameters["precision"] == "bf16"
    return Reader(model.eval().to(device), open_tokenizer(base), parameters["length"], device, bf16)


def _with_adapter(model: Any, folder: Path) -> Any:
    from peft import PeftModel

    if not (folder / "adapter_model.safetensors").is_file():
        raise bad_order("bad_parameter", "adapter must be the absolute path of peft's folder")
    return PeftModel.from_pretrained(model, folder).merge_and_unload()


def _scores(job: Job, task_set: TaskSet, reader: Reader) -> Scores:
    def tell(done: int, of: int) -> None:
        job.pause_if_asked()
        if done == of or done % 20 == 0:
            job.events.progress(done, of, "items")

    return score(task_set, reader, tell, job.order.parameters["most_tokens"])


def _labels(task_set: TaskSet) -> list[int]:
    """Returns for each item of two choices whether the second is right."""
    return [item.right for item in task_set.items]


def _calibrator(job: Job, rows: TaskSet, reader: Reader, method: str) -> Calibrator:
    if rows.kind != "choices" or any(len(item.choices) != 2 for item in rows.items):
        raise bad_data("not_two_choices", "A calibrator is fitted on items of two choices")
    if method == "isotonic" and len(rows.items) < FEW_ROWS:
        job.events.warning("few_rows", f"Isotonic regression wants {FEW_ROWS} rows or more")
    scores = _scores(job, rows, reader)
    calibrator = fit(method, scores.chances, _labels(rows))
    folder = job.order.output / "calibrator"
    folder.mkdir(exist_ok=True)
    rate = sum(_labels(rows)) / len(rows.items)
    write_calibrator(calibrator, folder / "calibrator.json", rows=len(rows.items), rate=rate)
    return calibrator


def _measured(calibrator: Calibrator, scores: Scores, task_set: TaskSet) -> dict[str, Any]:
    if len(scores.chances) != len(task_set.items):
        raise bad_data("not_two_choices", "A calibrator is judged on items of two choices")
    return measures([calibrator(chance) for chance in scores.chances], _labels(task_set))
