"""What is cut from the teacher: decided once, kept in a file, and done alike at every start."""

import copy
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trainer.compression.depth import block_influence, keep_layers, layers_to_keep
from trainer.compression.width import narrow_feed_forward
from trainer.job import Job
from trainer.refusals import bad_order
from trainer.training.input.sequences import Sequences

FILE = "cut.json"


@dataclass(frozen=True, slots=True)
class Cut:
    layers: list[int]
    feed_forward: int
    influence: list[float]


def decided_cut(job: Job, teacher: Any, data: Sequences) -> Cut:
    """Returns the cut of the first start, or judges the layers."""
    path = job.order.checkpoints / FILE
    if path.exists():
        return Cut(**json.loads(path.read_text()))
    parameters, config = job.order.parameters, teacher.config
    count = parameters["layers"] or max(1, config.num_hidden_layers // 2)
    width = parameters["feed_forward"] or config.intermediate_size
    if count > config.num_hidden_layers or width > config.intermediate_size:
        raise bad_order("bad_parameter", "The student cannot be larger than its teacher")
    influence = block_influence(teacher, data)
    cut = Cut(layers_to_keep(influence, count), width, influence)
    _write(cut, path)
    return cut


def cut_student(teacher: Any, cut: Cut, data: Sequences, *, embedding: bool) -> Any:
    """Returns the student: a copy of the teacher without what is cut."""
    student = copy.deepcopy(teacher).requires_grad_(True)
    keep_layers(student, cut.layers)
    if cut.feed_forward < student.config.intermediate_size:
        narrow_feed_forward(student, data, cut.feed_forward)
    if not embedding:
        student.get_input_embeddings().weight.requires_grad_(False)
    return student


def _write(cut: Cut, path: Path) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(asdict(cut)))
    part.rename(path)
