"""Orders of kind distil: a tuned teacher, a student cut out of it, and what that one keeps."""

from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copyfile
from typing import Any

import torch

from trainer.base.folder import base_folder, copy_tokenizer, read_config
from trainer.base.opening import open_model, open_tokenizer
from trainer.base.tensors import count_elements
from trainer.compression.comparison import (
    WHAT_IS_LOST,
    Compared,
    base_report,
    next_token_report,
    task_report,
)
from trainer.compression.cutting import Cut, cut_student, decided_cut
from trainer.compression.teaching import Teaching
from trainer.compression.vocabulary import cut_embedding, write_smaller_tokenizer
from trainer.job import Job
from trainer.refusals import bad_order
from trainer.scoring.tasks import TaskSet, read_task_set
from trainer.training import memory
from trainer.training.checkpoints.weights import FullModel
from trainer.training.input.opening import Data, form_of, open_data
from trainer.training.loop import Loop
from trainer.training.plan import Plan, device_here, identity, read_plan, write_plan
from trainer.training.precision import wants_bf16
from trainer.training.processes.ranks import Ranks
from trainer.training.result import figures, write_report, write_result
from trainer.training.running import micro_batch
from trainer.training.settings import Settings
from trainer.training.task import Task

MOST_MODELS = 3  # checkpoints that stay


def run(job: Job) -> dict[str, Any]:
    run = _Run(job, base_folder(job), _tasks(job))
    with memory.memory_refusals(1, job.order.parameters["length"]):
        return run.result()


def _tasks(job: Job) -> TaskSet | None:
    """Reads the task set before hours of work, not after them."""
    if (path := job.order.parameters["tasks"]) is None:
        return None
    if not Path(path).is_absolute() or not Path(path).is_file():
        raise bad_order("bad_parameter", "tasks must be the absolute path of a file")
    return read_task_set(Path(path))


@dataclass(frozen=True, slots=True)
class _Run:
    job: Job
    base: Path
    tasks: TaskSet | None

    @property
    def folder(self) -> Path:
        return self.job.order.checkpoints

    def result(self) -> dict[str, Any]:
        words = self._write_tokenizer()
        if first := read_plan(self.job, self.folder, 1):
            write_plan(first, self.folder)
        data = open_data(self.job, form_of(self.job), open_tokenizer(self._tokenizer), Ranks())
        plan = first or self._first_plan()
        plan.apply()
        teacher = open_model(self.base).to(plan.device)
        if words is not None:
            cut_embedding(teacher, words)
        plan = first or self._with_precision(plan, teacher, data)
        teacher_steps = self._tune(teacher, data, plan)
        return self._teach(teacher.eval().requires_grad_(False), data, plan, teacher_steps)

    @property
    def _tokenizer(self) -> Path:
        """Returns the folder with the tokenizer of teacher and student."""
        return self.folder / "tokenizer"

    def _write_tokenizer(self) -> list[int] | None:
        """Returns the words that stay, unless all do."""
        self._tokenizer.mkdir(exist_ok=True)
        copyfile(self.base / "config.json", self._tokenizer / "config.json")  # names its class
        size = self.job.order.parameters["vocabulary"]
        if size is None or size >= read_config(self.base)["vocab_size"]:
            copy_tokenizer(self.base, self._tokenizer)
            return None
        return write_smaller_tokenizer(self.base, self._tokenizer, size)

    def _first_plan(self) -> Plan:
        """Counts a teacher that is trained, and beside it another one that teaches."""
        order, device, elements = self.job.order, device_here(), count_elements(self.base)
        footprint = memory.Footprint.of(read_config(self.base), elements, None, beside=4 * elements)
        size = micro_batch(order.parameters, footprint, device, 1)
        return Plan(
            identity=identity(self.job), threads=order.threads, processes=1, device=device,
            micro_batch=size, bf16=False, torch=torch.__version__,
        )  # fmt: skip

    def _with_precision(self, plan: Plan, model: Any, data: Data) -> Plan:
        batch = data.train.batch([0]).to(plan.device)
        precision = self.job.order.parameters["precision"]
        plan = replace(plan, bf16=wants_bf16(precision, model, batch, plan.device))
        write_plan(plan, self.folder)
        return plan

    def _tune(self, teacher: Any, data: Data, plan: Plan) -> int:
        """Lets the teacher learn the data first. Returns its steps."""
        parameters = self.job.order.parameters
        if not parameters["teacher_epochs"]:
            return 0
        settings = replace(
            Settings.of(self.job.order), epochs=parameters["teacher_epochs"],
            learning_rate=parameters["teacher_rate"], most_steps=None,
        )  # fmt: skip
        weights = FullModel(teacher, self._tokenizer)
        folder = self.folder / "teacher"
        folder.mkdir(exist_ok=True)
        task = Task(self.job, folder, teacher, weights, data, settings, plan, most_checkpoints=2)
        return Loop(task).run().step + 1

    def _teach(self, teacher: Any, data: Data, plan: Plan, before: int) -> dict[str, Any]:
        parameters = self.job.order.parameters
        cut = decided_cut(self.job, teacher, data.train)
        student = cut_student(teacher, cut, data.train, embedding=parameters["embedding"])
        teaching = Teaching(
            teacher, cut.layers, parameters["kl"], parameters["hidden"], parameters["cross_entropy"]
        )
        weights = FullModel(student, self._tokenizer)
        task = Task(
            self.job, self.folder, student, weights, data, Settings.of(self.job.order), plan,
            loss=teaching.loss, steps_before=before, most_checkpoints=MOST_MODELS,
        )  # fmt: skip
        position = Loop(task).run()
        report = self._report(teacher, student, data, cut)
        write_result(self.job, weights, position, Ranks())
        write_report(self.job, figures(position) | report)
        return {"model": str(self.job.order.output / "model"), **figures(position), **report}

    def _report(self, teacher: Any, student: Any, data: Data, cut: Cut) -> dict[str, Any]:
        tokenizer, pause = open_tokenizer(self._tokenizer), self.job.pause_if_asked
        models = {
            "tuned_teacher": Compared(teacher, tokenizer), "student": Compared(student, tokenizer),
        }  # fmt: skip
        report: dict[str, Any] = {"sizes": {"student": models["student"].size()}}
        if data.held_out is not None:
            report["next_tokens"] = next_token_report(
                models["tuned_teacher"], models["student"], data.held_out, pause
            )
            before = base_report(self.base, models["student"], data.held_out)
            report["sizes"]["teacher"] = before.pop("sizes")
            report["next_tokens"]["teacher_before_tuning"] = before
        else:
            report["sizes"]["teacher"] = models["tuned_teacher"].size()
        if self.tasks is not None:
            length = self.job.order.parameters["length"]
            report["tasks"] = task_report(self.tasks, models, length, pause)
        sizes = report["sizes"]
        sizes["share"] = sizes["student"]["parameters"] / sizes["teacher"]["parameters"]
        return report | {"layers_kept": cut.layers, "lost": WHAT_IS_LOST}
