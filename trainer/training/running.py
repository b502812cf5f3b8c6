"""One order of training, from its files to the model that comes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from trainer.base.folder import base_folder, read_config
from trainer.base.opening import open_model, open_tokenizer
from trainer.base.tensors import count_elements
from trainer.job import Job
from trainer.training import memory
from trainer.training.checkpoints.weights import Adapter, FullModel, Weights, with_adapter
from trainer.training.input.opening import Data, Form, open_data
from trainer.training.loop import Loop
from trainer.training.plan import Plan, device_here, identity, read_plan, write_plan
from trainer.training.precision import wants_bf16
from trainer.training.processes.launching import launch_if_wanted
from trainer.training.processes.ranks import Ranks, join_ranks, leave_ranks
from trainer.training.processes.sharding import shard
from trainer.training.result import write_result
from trainer.training.settings import Settings
from trainer.training.task import Task

CPU_TOKENS, GPU_TOKENS = 512, 8192  # of a micro-batch that no order decides
MOST_ADAPTERS, MOST_MODELS = 10, 3  # checkpoints that stay


def train(job: Job, form: Form) -> dict[str, Any]:
    """Does the whole order. Returns the fields of the result."""
    launch_if_wanted(job)
    ranks = join_ranks()
    try:
        base = base_folder(job) if ranks.is_first else None
        ranks.wait()
        return _Run(job, ranks, base or base_folder(job)).result(form)
    finally:
        leave_ranks(ranks)


@dataclass(frozen=True, slots=True)
class _Run:
    job: Job
    ranks: Ranks
    base: Path

    def result(self, form: Form) -> dict[str, Any]:
        job, folder = self.job, self.job.order.checkpoints
        first = read_plan(job, folder, self.ranks.count)
        self.ranks.wait()
        if first and self.ranks.is_first:
            write_plan(first, folder)
        data = open_data(job, form, open_tokenizer(self.base), self.ranks)
        plan = first or self._first_plan()
        plan.apply()
        with memory.memory_refusals(plan.micro_batch, job.order.parameters["length"]):
            model, weights = self._model(plan)
            plan = first or self._with_precision(plan, model, data)
            shard(model, self.ranks, plan.device)
            position = Loop(self._task(model, weights, data, plan)).run()
            return write_result(job, weights, position, self.ranks)

    def _task(self, model: Any, weights: Weights, data: Data, plan: Plan) -> Task:
        most = MOST_ADAPTERS if weights.folder == "adapter" else MOST_MODELS
        return Task(
            self.job, self.job.order.checkpoints, model, weights, data,
            Settings.of(self.job.order), plan, self.ranks, most_checkpoints=most,
        )  # fmt: skip

    def _model(self, plan: Plan) -> tuple[Any, Weights]:
        parameters = self.job.order.parameters
        model = open_model(self.base)
        if parameters["method"] == "full":
            return model.to(plan.device), FullModel(model, self.base)
        model = with_adapter(model, parameters["rank"], parameters["alpha"], self.job.order.seed)
        return model.to(plan.device), Adapter(model, self.base)

    def _first_plan(self) -> Plan:
        """Refuses what cannot fit; the precision is decided once the model is there."""
        order, device = self.job.order, device_here()
        return Plan(
            identity=identity(self.job), threads=order.threads, processes=self.ranks.count,
            device=device, micro_batch=self._micro_batch(device), bf16=False,
            torch=torch.__version__,
        )  # fmt: skip

    def _micro_batch(self, device: str) -> int:
        parameters = self.job.order.parameters
        config, elements = read_config(self.base), count_elements(self.base)
        rank = parameters["rank"] if parameters["method"] == "lora" else None
        footprint = memory.Footprint.of(config, elements, rank, processes=self.ranks.count)
        return micro_batch(parameters, footprint, device, self.ranks.count)

    def _with_precision(self, plan: Plan, model: Any, data: Data) -> Plan:
        """Decides it once: the first process does for all."""
        batch = data.train.batch([0]).to(plan.device)
        precision = self.job.order.parameters["precision"]
        wants = self.ranks.is_first and wants_bf16(precision, model, batch, plan.device)
        plan = replace(plan, bf16=self.ranks.any(wants))
        if self.ranks.is_first:
            write_plan(plan, self.job.order.checkpoints)
        return plan


def micro_batch(
    given: Mapping[str, Any], footprint: memory.Footprint, device: str, processes: int
) -> int:
    """Returns the order's, or as many sequences as the processor is well used by."""
    length, tokens = given["length"], GPU_TOKENS if device == "cuda" else CPU_TOKENS
    wanted = min(given["micro_batch"] or max(1, tokens // length), given["batch"])
    available = memory.available_memory(device) // (1 if device == "cuda" else processes)
    if given["memory"]:
        available = min(available, given["memory"] << 20)
    return memory.micro_batch_that_fits(
        footprint, available, wanted, length, exactly=bool(given["micro_batch"])
    )
