"""The state `validating`: the base and the data of a job are there, and each line can be used.

Problems name lines and codes, never a text of the data.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from audit.keys.keyring import Unreadable
from inference.batch.file_store import FileReader
from inference.batch.input_lines import split
from inference.data_sets import people, rows
from inference.models import (
    DataSetFormat,
    DataSetVersion,
    File,
    Job,
    JobKind,
    ModelVersion,
)
from inference.models.job import WrongState

MOST_PROBLEMS = 50
CLAIM = timedelta(seconds=60)
AGAIN = timedelta(seconds=2)  # until a job that waits for its validation is looked at
Problem = dict[str, Any]
CODE = "invalid_training_file"
_JUDGED_BY_TRAINER = (JobKind.PREPARE, JobKind.SCORE)  # raw data, and task sets
_WORDS = {
    "not_utf8": "this line is not UTF-8",
    "not_json": "this line is not valid JSON",
    "too_many_values": "this line has too many values",
    "not_an_object": "this line is not a JSON object",
    "unknown_field": "this line has a field that is not known: use `messages`, or `text`",
    "no_text": "`text` must be a text that is not empty",
    "no_messages": "`messages` must be a list with at least one message",
    "bad_role": "each message needs a role: system, developer, user, assistant or tool",
    "content_not_text": "the content of a message must be a text",
    "no_assistant": "the chat has no answer of an assistant with text",
    "source_not_text": "`source` must be a text",
    "unknown_person": "`person` names nobody of this tenant",
}


def validate(job: Job) -> bool:
    """Queue the job, or fail it. A job that was paused or cancelled meanwhile stays so.

    Returns True: it is over.
    """
    problems = list(_problems(job))
    with suppress(WrongState):
        if problems:
            job.fail(problems[0]["code"], problems)
        else:
            job.finish_validation()
    return True


def _problems(job: Job) -> Iterator[Problem]:
    if job.base_version_id and not _base_is_there(job, job.base_version_id):
        yield {"code": "model_not_found", "message": "the base model has been deleted"}
    if job.data_set_version_id:
        ready = DataSetVersion.objects.ready().filter(pk=job.data_set_version_id)
        if not ready.filter(rows__gt=0).exists():
            yield {"code": "no_data", "message": "the data set has no rows, or was deleted"}
    for pk, param in (
        (job.training_file_id, "training_file"),
        (job.validation_file_id, "validation_file"),
    ):
        if pk:
            yield from _Check(job, pk, param).problems()


def _base_is_there(job: Job, version_id: UUID) -> bool:
    versions = ModelVersion.objects.visible_to(job.tenant_id).ready()
    return versions.filter(pk=version_id).exists()


class _Check:
    def __init__(self, job: Job, file_id: UUID, param: str) -> None:
        self._job, self._file_id, self._param = job, file_id, param
        chats = job.kind == JobKind.FINE_TUNE
        self._form = DataSetFormat.CHATS if chats else DataSetFormat.TEXTS
        self._find_person = people.finder(job.tenant_id)

    def problems(self) -> Iterator[Problem]:
        file = File.objects.whole().filter(pk=self._file_id, tenant_id=self._job.tenant_id).first()
        if file is None:
            yield self._problem("file_not_found", "the file has been deleted")
            return
        count = used = 0
        try:
            for line in split(self._pieces(file)):
                used += 1
                if problem := self._line_problem(line.text):
                    yield self._problem(CODE, problem, line.number)
                    if (count := count + 1) >= MOST_PROBLEMS:
                        return
        except Unreadable:
            yield self._problem("erased", "the file has been erased")
            return
        if not used:
            yield self._problem(CODE, "the file has no lines")

    def _pieces(self, file: File) -> Iterator[bytes]:
        for piece in FileReader(file).pieces():
            Job.objects.filter(pk=self._job.pk).update(due_at=timezone.now() + CLAIM)
            yield piece

    def _line_problem(self, text: bytes | None) -> str:
        if text is None or len(text) > rows.LONGEST_LINE:
            return f"this line is longer than {rows.LONGEST_LINE} bytes"
        if self._job.kind in _JUDGED_BY_TRAINER:
            return ""
        try:
            rows.parse(text, self._form, self._find_person)
        except rows.BadRow as problem:
            return _WORDS.get(str(problem), "this line cannot be used")
        return ""

    def _problem(self, code: str, message: str, line: int | None = None) -> Problem:
        return {"code": code, "message": message, "line": line, "param": self._param}
