"""The order `prepare`: validate, mask, drop copies and split, in one pass and bounded memory."""

import hashlib
import json
import time
from typing import Any, BinaryIO

from trainer.data import personal_data
from trainer.data.documents import Document, documents
from trainer.data.near_copies import NearCopies
from trainer.data.records import Record, changed, text_of
from trainer.data.report import Report
from trainer.data.sources import MARKDOWN, Source, sources
from trainer.data.token_counts import TokenCounter
from trainer.data.workspace import PARTS, Workspace, opened
from trainer.formats.whole_files import write_text
from trainer.job import Job
from trainer.refusals import Paused, bad_data

_FEW_PAGES = 20  # fewer are split by their sections: whole pages would be too coarse
_CHECKPOINT_S, _PROGRESS_S = 30.0, 2.0


def run(job: Job) -> dict[str, object]:
    """Writes output/train.jsonl, output/held_out.jsonl and output/report.json."""
    assert job.order.train is not None  # the table of kinds says so
    with (
        sources(job.order.train) as files,
        opened(job.order.output, job.order.checkpoints) as space,
    ):
        report = _Preparation(job, files, space).finish()
    if not report.documents:
        raise bad_data("no_documents", "No document is left: the report says why")
    if job.order.parameters["held_out"] and not report.held_out:
        job.events.warning("nothing_held_out", "The set is too small for a part that is held out")
    parts = {part: f"{part}.jsonl" for part in PARTS}
    return {
        **parts,
        "report": "report.json",
        "documents": report.documents,
        "tokens": report.tokens,
    }


class _Preparation:
    """One pass over the documents; what came before the last checkpoint is passed over."""

    def __init__(self, job: Job, files: list[Source], space: Workspace) -> None:
        self._job = job
        self._files = files
        self._space = space
        self._options = job.order.parameters
        self._bytes = sum(source.size for source in files)
        if space.drop_checkpoints_of_others(self._bytes):  # rows of an erased person have left it
            job.events.warning("fewer_rows", "Rows have left the data: it is read from its start")
        self._copies = NearCopies(space.database, self._options["similarity"], self._text)
        for number, hashes in space.resume():
            self._copies.add(number, hashes)
        state = space.state or {"done": [-1, 0], "report": {}}
        self._done = tuple(state["done"])
        self._report = Report(self._options["samples"], **state["report"])
        self._tokens = TokenCounter(job.order.base)
        pages = [source for source in files if source.suffix in MARKDOWN]
        self._by_page = len(pages) >= _FEW_PAGES
        self._bytes_before = 0
        self._told_at = time.monotonic()
        self._due_at = self._told_at + _CHECKPOINT_S

    def _text(self, number: int) -> str:
        return text_of(self._space.record(number))

    def finish(self) -> Report:
        for number, source in enumerate(self._files):
            if number >= self._done[0]:
                self._read(number, source)
            self._bytes_before += source.size
        self._write_report()
        self._progress(0)
        return self._report

    def _read(self, number: int, source: Source) -> None:
        form, longest = self._options["form"], self._options["longest_line"]
        with source.open() as file:
            for document in documents(file, source, number, form, longest):
                self._take(document, source)
                self._checkpoint_if_due(file)

    def _take(self, document: Document, source: Source) -> None:
        if (document.source, document.line) <= self._done:
            return
        place = {"file": source.name[:200], "line": document.line}
        if document.record is None:
            self._report.fault(document.fault, place)
            self._refuse_if_too_broken()
        else:
            self._keep(document.record, source, place)
        self._done = (document.source, document.line)

    def _refuse_if_too_broken(self) -> None:
        if self._report.broken > self._options["most_broken"]:
            self._write_report()
            raise bad_data(
                "too_broken", f"More than {self._options['most_broken']} lines are broken"
            )

    def _keep(self, record: Record, source: Source, place: dict[str, Any]) -> None:
        if self._options["mask"]:
            record = self._masked(record, place)
        text = text_of(record)
        hashes = self._copies.hashes(text) if self._options["deduplicate"] else []
        if hashes and (copy := self._copies.original(text, hashes)) is not None:
            self._report.copy(place, self._text(copy[0]), text, copy[1])
            return
        key = source.name if self._by_page and source.suffix in MARKDOWN else text
        held_out = is_held_out(key, self._options["held_out"])
        number = self._space.write(record, int(held_out), hashes)
        self._copies.add(number, hashes)
        self._report.keep(text, held_out, self._tokens.count(text), place)

    def _masked(self, record: Record, place: dict[str, Any]) -> Record:
        counts = dict[str, int]()

        def masked(text: str) -> str:
            result, here = personal_data.mask(text)
            for kind, count in here.items():
                counts[kind] = counts.get(kind, 0) + count
            return result

        record = changed(record, masked)
        self._report.mask(counts, place, text_of(record))
        return record

    def _checkpoint_if_due(self, file: BinaryIO) -> None:
        if self._job.stopping.is_set():
            self._save()
            raise Paused
        now = time.monotonic()
        if now - self._told_at > _PROGRESS_S:
            self._progress(file.tell())
            self._told_at = now
        if now > self._due_at or self._space.must_checkpoint:
            self._save()

    def _progress(self, position: int) -> None:
        self._job.events.progress(self._bytes_before + position, self._bytes, "bytes")

    def _save(self) -> None:
        """Writes a checkpoint; all of them take a twentieth of the time at most."""
        began = time.monotonic()
        state = {
            "done": list(self._done), "report": self._report.as_json(), "bytes": self._bytes
        }  # fmt: skip
        self._job.events.checkpoint(*self._space.checkpoint(state))
        now = time.monotonic()
        self._due_at = now + max(_CHECKPOINT_S, 20 * (now - began))

    def _write_report(self) -> None:
        text = json.dumps(self._report.as_json(), ensure_ascii=False, indent=1)
        write_text(self._job.order.output / "report.json", text + "\n")


def is_held_out(key: str, percent: float) -> bool:
    """Says whether a document is held out, by its hash alone: the same on every machine."""
    number = int.from_bytes(hashlib.sha256(key.strip().encode()).digest()[:8], "big")
    return number % 10_000 < percent * 100
