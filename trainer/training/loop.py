"""The loop: micro-steps, steps, evaluations, checkpoints; it pauses and goes on exactly."""

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from trainer.refusals import Exit, Paused, Refusal
from trainer.training.checkpoints import folders
from trainer.training.checkpoints.position import Position
from trainer.training.checkpoints.state import read_state, state_tensors, write_state
from trainer.training.checkpoints.weights import trained
from trainer.training.input.order_of_data import DataOrder
from trainer.training.objective import mean_loss
from trainer.training.processes.sharding import whole
from trainer.training.task import Task

LARGEST_GRADIENT = 1.0
PROGRESS_EVERY_S = 1.0


@dataclass(slots=True)
class Loop:
    task: Task
    position: Position = field(default_factory=Position)
    _optimiser: Any = field(init=False)
    _order: DataOrder = field(init=False)
    _progress_due: float = 0.0

    def __post_init__(self) -> None:
        self._optimiser = self.task.optimiser()
        self._order = self.task.order_of_data()

    def run(self) -> Position:
        """Trains to the end, and leaves the model with the best weights."""
        self._begin()
        while not self._has_ended():
            self._step()
        self._tell_progress(at_once=True)
        self._take_best()
        return self.position

    def _has_ended(self) -> bool:
        if self.position.unjudged_loss is not None:
            return False
        patience = self.task.settings.patience
        waited = self.position.evaluations_without_gain
        return self.position.step >= self.task.total or (0 < patience <= waited)

    def _begin(self) -> None:
        """Goes on from the last whole checkpoint, or judges the model before the first step."""
        folders.drop_unfinished(self.task.folder)
        newest = folders.newest(self.task.folder)
        if newest is not None:
            self._resume(newest)
        if self._has_ended():
            return  # what follows it, such as the teaching of a student, has events of its own
        self._drop_later_events()
        if self.position.unjudged_loss is not None:
            self._judge_step()
        elif self._is_to_report():
            self._report(None, self._evaluate())
            self._checkpoint()

    def _resume(self, folder: Path) -> None:
        self.position = Position.read(folder)
        self.task.weights.read(folder / self.task.weights.folder)
        read_state(folder, self.task.model, self._optimiser)
        if self._has_ended():
            return
        step = self.position.step + self.task.steps_before
        self.task.job.events.info("resumed", f"Goes on after step {step}")

    def _drop_later_events(self) -> None:
        """Drops metrics that come again: of later steps, and of one without its evaluation."""
        last = self.task.steps_before + self.position.step - (1 if self._is_to_report() else 0)
        self.task.job.events.keep(
            lambda event: event["type"] not in ("metric", "checkpoint") or event["step"] <= last
        )

    def _is_to_report(self) -> bool:
        """Says whether the step's metric is still to come."""
        position = self.position
        return position.unjudged_loss is not None or position.step == position.micro_steps == 0

    def _step(self) -> None:
        """Does what is left of a step."""
        step = self.position.step
        targets = max(1, self.task.data.train.targets(self._order.numbers(step)))
        for micro_step in range(self.position.micro_steps, self._order.micro_steps(step)):
            self._micro_step(micro_step, targets)
            self._pause_if_asked()
        self._move_weights(step)
        self._end_step(targets)

    def _micro_step(self, number: int, targets: int) -> None:
        task, position = self.task, self.position
        part = self._order.micro_batch_of(position.step, number)
        batch = part.batch.to(task.plan.device)
        with torch.autocast(task.plan.device, torch.bfloat16, enabled=task.plan.bf16):
            loss = task.loss(task.model, batch) * part.share
        (loss / targets).backward()
        position.loss += self._finite(task.ranks.sum(loss.item()))
        position.micro_steps = number + 1

    def _move_weights(self, step: int) -> None:
        for group in self._optimiser.param_groups:
            group["lr"] = self.task.settings.rate(step, self.task.total)
        weights = list(trained(self.task.model).values())
        norm = torch.nn.utils.clip_grad_norm_(weights, LARGEST_GRADIENT)
        self._finite(whole(norm).item())
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)

    def _end_step(self, targets: int) -> None:
        position = self.position
        position.unjudged_loss = position.loss / targets
        position.step, position.micro_steps, position.loss = position.step + 1, 0, 0.0
        position.tokens += targets
        self._judge_step()

    def _judge_step(self) -> None:
        """Evaluates after a step where it is time to, and makes both durable."""
        position, settings = self.position, self.task.settings
        is_last = position.step == self.task.total
        evaluates = is_last or settings.evaluates_after(position.step, self.task.data.train)
        held_out = self._evaluate() if evaluates else None
        train_loss, position.unjudged_loss = position.unjudged_loss, None
        self._report(train_loss, held_out)
        if evaluates or position.step % settings.save_every == 0 or self._has_ended():
            self._checkpoint()

    def _evaluate(self) -> float | None:
        task = self.task
        if task.data.held_out is None:
            return None
        loss: float = mean_loss(
            task.model, task.data.held_out, task.plan.micro_batch, task.ranks,
            bf16=task.plan.bf16, device=task.plan.device, between=self._pause_if_asked,
        )  # fmt: skip
        self.position.judge(self._finite(loss))
        return loss

    def _report(self, train_loss: float | None, held_out_loss: float | None) -> None:
        epoch = self.position.step / self.task.settings.steps_of_epoch(self.task.data.train)
        self.task.job.events.metric(
            step=self.task.steps_before + self.position.step, epoch=round(epoch, 4),
            train_loss=train_loss, held_out_loss=held_out_loss, tokens=self.position.tokens,
            **self._rate(),
        )  # fmt: skip
        self._tell_progress()

    def _rate(self) -> dict[str, float]:
        """Returns the learning rate of the last step; none before the first."""
        step = self.position.step - 1
        return (
            {"learning_rate": self.task.settings.rate(step, self.task.total)} if step >= 0 else {}
        )

    def _tell_progress(self, *, at_once: bool = False) -> None:
        if at_once or time.monotonic() >= self._progress_due:
            self._progress_due = time.monotonic() + PROGRESS_EVERY_S
            before = self.task.steps_before
            self.task.job.events.progress(
                before + self.position.step, before + self.task.total, "steps"
            )

    def _checkpoint(self) -> None:
        """Writes all that the next step needs; the first process has the files."""
        task, position = self.task, self.position
        weights, state = task.weights.tensors(), state_tensors(task.model, self._optimiser)

        def fill(folder: Path) -> None:
            (folder / task.weights.folder).mkdir()
            task.weights.write(folder / task.weights.folder, weights)
            write_state(folder, state)
            position.write(folder)

        if task.ranks.is_first:
            taken = (task.folder / position.name).exists()
            name = position.second_name if taken else position.name
            folder = folders.write(task.folder, name, fill)
            if position.step:
                task.job.events.checkpoint(task.steps_before + position.step, folder)
            best = None if position.best_step is None else Position(position.best_step).name
            folders.thin_out(task.folder, most=task.most_checkpoints, best=best)
        task.ranks.wait()

    def _pause_if_asked(self) -> None:
        if self.task.ranks.any(self.task.job.stopping.is_set()):
            self._checkpoint()
            raise Paused

    def _take_best(self) -> None:
        best = self.position.best_step
        if best is not None and best != self.position.step:
            folder = self.task.folder / Position(best).name
            self.task.weights.read(folder / self.task.weights.folder)

    def _finite(self, value: float) -> float:
        if math.isfinite(value):
            return value
        step = self.task.steps_before + self.position.step
        message = f"The loss of step {step + 1} is no number: lower the learning rate"
        raise Refusal(Exit.BAD_DATA, "diverged", message)
