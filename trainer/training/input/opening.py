"""The data of an order: what is trained on, and what is held out before the first step."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.job import Job
from trainer.refusals import bad_data
from trainer.training.input import known_lines
from trainer.training.input.chats import chat_sequences
from trainer.training.input.lines import held_out_by_hash, read_lines, read_object
from trainer.training.input.sequences import Sequences, open_sequences, write_sequences
from trainer.training.input.texts import text_sequences
from trainer.training.processes.ranks import Ranks

DATA = "data"  # the folder among the checkpoints
Lines = Iterator[tuple[int, bytes]]
Form = Callable[[Lines, Any, int], Iterator[tuple[list[int], list[bool]]]]


@dataclass(frozen=True, slots=True)
class Data:
    train: Sequences
    held_out: Sequences | None


def open_data(job: Job, form: Form, tokenizer: Any, ranks: Ranks) -> Data:
    """Reads the lines into sequences, once: a resumed run opens the files of the first.

    Where lines have left the data since (`plan.read_plan`), those that stay are read anew.
    """
    folder = job.order.checkpoints / DATA
    if ranks.is_first:
        _write_data(job, form, tokenizer, folder)
    ranks.wait()
    train, held_out = folder / "train", folder / "held_out"
    has_held_out = (held_out / "tokens").stat().st_size > 0
    return Data(open_sequences(train), open_sequences(held_out) if has_held_out else None)


def _write_data(job: Job, form: Form, tokenizer: Any, folder: Path) -> None:
    hashes = known_lines.data_hashes(job.order)
    if known_lines.noted_hashes(folder) not in (None, hashes):
        for side in known_lines.SIDES:  # they have the lines that are gone, too
            shutil.rmtree(folder / side, ignore_errors=True)
    folder.mkdir(exist_ok=True)
    known_lines.note_hashes(folder, hashes)
    for side, lines in _sides(job, folder).items():
        if not (folder / side).exists():
            sequences = form(lines(), tokenizer, job.order.parameters["length"])
            write_sequences(folder / side, sequences)
        known_lines.note_lines(folder, side, (line for _number, line in lines()))


def _sides(job: Job, folder: Path) -> dict[str, Callable[[], Lines]]:
    train, held_out = job.order.train, job.order.held_out
    if train is None or not train.is_file():
        raise bad_data("no_data", "data.train must be a file of JSON lines")
    if held_out is not None and not held_out.is_file():
        raise bad_data("no_data", "data.held_out must be a file of JSON lines")
    if held_out is not None:
        return {"held_out": lambda: _pausing(job, held_out), "train": lambda: _pausing(job, train)}
    is_held_out = known_lines.held_out_before(folder) or held_out_by_hash(train)
    return {
        "held_out": lambda: (each for each in _pausing(job, train) if is_held_out(each[1])),
        "train": lambda: (each for each in _pausing(job, train) if not is_held_out(each[1])),
    }


def _pausing(job: Job, path: Path) -> Lines:
    for number, line in read_lines(path):
        job.pause_if_asked()
        yield number, line


def form_of(job: Job) -> Form:
    """Returns how the data is read, by its first line: chats have messages."""
    assert job.order.train is not None  # the table of kinds says so
    number, line = next(read_lines(job.order.train), (1, b"{}"))
    return chat_sequences if "messages" in read_object(number, line) else text_sequences
