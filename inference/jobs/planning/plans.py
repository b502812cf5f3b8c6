"""A job as it is planned: its steps, and the memory that its trainer takes.

Memory is reckoned as the trainer does (trainer/training/memory.py), which has the last word.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple

from inference.jobs.planning.settable import with_defaults
from inference.model_registry.storage import store
from inference.models import DataSetFormat, DataSetVersion, JobKind, ModelFile, ModelVersion
from infrastructure.objects.content import Damaged
from infrastructure.objects.place import StoreError

TRAINING = (JobKind.FINE_TUNE, JobKind.PRETRAIN, JobKind.DISTIL)
CHARACTERS_OF_TOKEN = 3.5  # of English; Chinese has about half of that
LIBRARIES_BYTES = 400 << 20
LARGEST_CONFIG = 1 << 20  # bytes
_SHAPE = ("num_hidden_layers", "hidden_size", "intermediate_size", "vocab_size")


@dataclass(frozen=True, slots=True)
class Plan:
    """A job as it is planned, or as it was."""

    kind: str
    base: ModelVersion | None
    data: DataSetVersion | None
    parameters: Mapping[str, Any]  # those that are set

    @property
    def settings(self) -> dict[str, Any]:
        return with_defaults(self.kind, self.parameters)

    @property
    def trains(self) -> bool:
        return self.kind in TRAINING


class Memory(NamedTuple):
    """Bytes with one sequence at a time, and with a whole batch. The trainer takes what fits."""

    least: int
    of_batch: int


def steps(plan: Plan) -> int | None:
    """Returns the most steps of a training; it may stop early."""
    sequences = _sequences(plan) if plan.trains else None
    if not sequences:
        return None
    own = plan.settings
    each = ceil(sequences / float(own["batch"]))
    all_steps = each * int(own["epochs"])
    most = int(own["most_steps"] or all_steps)
    return min(all_steps, most) + each * int(own.get("teacher_epochs", 0))


def memory(plan: Plan) -> Memory | None:
    """Returns what a training takes; None where the base does not say its shape."""
    shape = _shape(plan.base) if plan.trains and plan.base else None
    if shape is None or plan.base is None:
        return None
    layers, width, feed_forward, words = shape
    own, elements = plan.settings, plan.base.parameters
    if own.get("method") == "lora":
        trained = own["rank"] * layers * (11 * width + 3 * feed_forward)
    else:
        trained = elements
    fixed = LIBRARIES_BYTES + 4 * elements + 12 * trained
    if plan.kind == JobKind.DISTIL:  # the teacher stands beside the student
        fixed += 4 * elements
    a_token = layers * 4 * (8 * width + 4 * feed_forward) + 12 * words
    a_sequence = own["length"] * a_token
    return Memory(fixed + a_sequence, fixed + own["batch"] * a_sequence)


def _sequences(plan: Plan) -> float:
    """Returns sequences of an epoch: a chat is one, texts are cut into equal ones."""
    if plan.data is None:
        return 0
    if plan.data.form == DataSetFormat.CHATS:
        return float(plan.data.rows)
    return characters(plan.data) / CHARACTERS_OF_TOKEN / float(plan.settings["length"])


def characters(version: DataSetVersion) -> float:
    """Returns the characters of the rows to train on, without those held out."""
    whole = version.report.get("characters", {}).get("sum") or version.stored_bytes
    rows = version.rows + version.held_out_rows
    return whole * version.rows / rows if rows else 0.0


def tokens_of_sequence(plan: Plan) -> float:
    """Returns the tokens of a long sequence: chats may be shorter than the longest."""
    length = float(plan.settings["length"])
    if plan.data is None or plan.data.form != DataSetFormat.CHATS:
        return length
    long = plan.data.report.get("characters", {}).get("p90") or 0
    return min(length, long / CHARACTERS_OF_TOKEN) if long else length


def _shape(base: ModelVersion) -> list[int] | None:
    """Returns layers, width, feed-forward width and words of a Hugging Face folder."""
    file = ModelFile.objects.filter(version=base, name="config.json").first()
    if file is None or file.size > LARGEST_CONFIG:
        return None
    try:
        config = json.loads(b"".join(store().read(base.owner, file.sha256)))
    except (StoreError, Damaged, FileNotFoundError, ValueError):
        return None
    sizes = [config.get(name) for name in _SHAPE] if isinstance(config, dict) else []
    whole = [size for size in sizes if isinstance(size, int) and size > 0]
    return whole if len(whole) == len(_SHAPE) else None
