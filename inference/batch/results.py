"""The last stage of a batch: the results of its lines, in files like OpenAI's.

Answers come from the audit trail, where they are encrypted under their subject's key. The error
file has a reason for each line that did not run, so no line is missing.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any
from uuid import UUID

import orjson
from django.db import transaction
from django.db.models import Exists, Func, OuterRef, Q, Sum, UUIDField
from django.db.models.functions import Coalesce

from audit.actions import Action
from audit.keys.keyring import Barred, Cipher, Unreadable, keyring
from audit.models import Payload, Tombstone
from audit.search import texts
from audit.trail.record import act
from inference.batch.encryption import cipher_of, error_aad
from inference.batch.file_store import FileOwner, FileReader, FileWriter
from inference.batch.input_lines import InputProblem, key_of, number_of
from inference.models import (
    Batch,
    BatchLine,
    BatchState,
    File,
    FilePurpose,
    IdempotencyKey,
    LineState,
    Usage,
)
from infrastructure.postgres.repeated_transaction import transact

LINES = 200  # read in one query
_NOT_RUN = {
    BatchState.EXPIRED: ("batch_expired", "this request did not run within the 24 hours"),
    BatchState.CANCELLED: ("batch_cancelled", "the batch was cancelled before this request ran"),
    BatchState.FAILED: ("batch_failed", "the batch ended before this request ran"),
    BatchState.COMPLETED: ("not_run", "this request did not run"),
}
_CUT_OFF = ("cut_off", "this request had begun and was cut off; what it had taken is billed")
_GONE = {"code": "answer_gone", "message": "the answer is no longer on record"}


def write(batch_id: UUID) -> bool:
    """End the batch with its files. A repeated call starts over.

    Returns False while the data of its person is restricted: the files are written after that.
    """
    batch = Batch.objects.get(pk=batch_id)
    outputs = _Outputs(batch)
    try:
        if batch.total:
            outputs.write()
        # Files and end together: a crash leaves no stray file.
        transact(transaction.atomic, partial(_finish, batch, outputs), repeatable=True)
    except Barred:
        outputs.discard()
        if not is_erased(batch):
            return False
        _end(batch, {})  # no text is stored
    except BaseException:
        outputs.discard()
        raise
    outputs.discard()  # where another process was faster
    return True


def is_erased(batch: Batch) -> bool:
    """Returns whether its person has been erased. Other barred keys open again some day."""
    owner = {"tenant_id": batch.tenant_id, "subject_id": batch.subject_id}
    return Tombstone.objects.filter(**owner).exists()


def _finish(batch: Batch, outputs: "_Outputs") -> None:
    if not _end(batch, outputs.finished()):
        transaction.set_rollback(True)


def give_up(batch_id: UUID) -> None:
    """End a batch without files, because its input cannot be read any more."""
    batch = Batch.objects.get(pk=batch_id)
    problem = InputProblem("input_gone", "the input file has been erased, or cannot be read")
    batch.finalize(BatchState.FAILED, [problem._asdict()])
    _end(batch, {})


def _end(batch: Batch, files: dict[str, UUID]) -> bool:
    with transaction.atomic():
        if not batch.end(**files, **_counts(batch), usage=_usage(batch)):
            return False
        act(
            Action.BATCH_END,
            actor=actor_of(batch),
            tenant_id=batch.tenant_id,
            subject_id=batch.subject_id,
            detail={"batch": batch.public_id, "state": batch.state, **_counts(batch)},
        )
    return True


def actor_of(batch: Batch) -> str:
    """Returns the key's name in the audit trail; a deleted key's is that of its subject."""
    return f"key:{batch.api_key_id or batch.subject_id}"


def _counts(batch: Batch) -> dict[str, int]:
    return {
        "completed": batch.lines.filter(state=LineState.DONE).count(),
        "failed": batch.lines.filter(state=LineState.FAILED).count(),
    }


def _usage(batch: Batch) -> dict[str, Any]:
    claims = IdempotencyKey.objects.filter(tenant_id=batch.tenant_id, owner=batch.pk)
    of_batch = Q(completion__in=claims.values("completion_id"))
    of_batch |= Q(completion__in=batch.lines.exclude(completion_id=None).values("completion_id"))
    tries = Func("earlier", function="unnest", output_field=UUIDField())  # billed as well
    of_batch |= Q(completion__in=batch.lines.exclude(earlier=[]).values_list(tries))
    sums = {name: Coalesce(Sum(name), 0) for name in _TOKENS}
    prompt, cached, answer = map(Usage.objects.filter(of_batch).aggregate(**sums).get, _TOKENS)
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": answer,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": int(prompt or 0) + int(answer or 0),
    }


_TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens")


class _Outputs:
    """The two files, each created with its first line."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._owner = FileOwner(
            batch.tenant_id, batch.subject_id, batch.api_key_id, actor_of(batch)
        )
        self._writers: dict[str, FileWriter] = {}

    def write(self) -> None:
        rows = _Rows(self._batch)
        for lines in _in_groups(self._batch):
            cut_off = _cut_off(self._batch, lines)
            for some in texts.portions(lines, lambda line: line.completion_id):
                answers = _answers(some)
                self._write(rows.of(line, answers, cut_off) for line in some)
        for writer in self._writers.values():
            writer.flush()

    def _write(self, rows: Iterable[tuple[str, dict[str, Any]]]) -> None:
        for where, row in rows:
            self._writer(where).write(orjson.dumps(row) + b"\n")

    def finished(self) -> dict[str, UUID]:
        after_s = self._batch.output_expires_after_s
        files = {name: writer.finish(after_s) for name, writer in self._writers.items()}
        return {f"{name}_file_id": file.pk for name, file in files.items()}

    def discard(self) -> None:
        for writer in self._writers.values():
            writer.discard()

    def _writer(self, name: str) -> FileWriter:
        if name not in self._writers:
            title = f"{self._batch.public_id}_{name}.jsonl"
            self._writers[name] = FileWriter(self._owner, FilePurpose.BATCH_OUTPUT, title)
        return self._writers[name]


class _Rows:
    """Lines in the form of the files."""

    def __init__(self, batch: Batch) -> None:
        self._batch, self._cipher = batch, cipher_of(batch)
        self._input = FileReader(File.objects.get(pk=batch.input_file_id))

    def of(
        self, line: BatchLine, answers: dict[UUID, Payload], cut_off: set[int]
    ) -> tuple[str, dict[str, Any]]:
        """Returns the name of the file, and the row."""
        row = {
            "id": f"batch_req_{self._batch.id.hex}_{line.number}",
            "custom_id": orjson.loads(self._input.read(line.offset, line.length))["custom_id"],
            "response": None,
            "error": None,
        }
        if line.state == LineState.WAITING:
            not_run = _NOT_RUN[BatchState(self._batch.ends_as)]
            code, message = _CUT_OFF if line.number in cut_off else not_run
            return "error", row | {"error": {"code": code, "message": message}}
        body = self._error(line) if line.state == LineState.FAILED else _answer(answers, line)
        if body is None:
            return "error", row | {"error": _GONE}
        response = {
            "status_code": line.status,
            "request_id": str(line.completion_id) if line.completion_id else None,
            "body": orjson.loads(body),
        }
        return "output" if line.state == LineState.DONE else "error", row | {"response": response}

    def _error(self, line: BatchLine) -> bytes | None:
        if line.error_ciphertext is None:
            return None
        aad = error_aad(self._batch, line.number)
        return self._cipher.decrypt(bytes(line.error_ciphertext), aad)


def encrypted_error(cipher: Cipher, batch: Batch, number: int, error: bytes) -> bytes:
    return cipher.encrypt(error, error_aad(batch, number))


def _in_groups(batch: Batch) -> Iterator[list[BatchLine]]:
    last = 0
    rows = batch.lines.order_by("number")
    while lines := list(rows.filter(number__gt=last)[:LINES]):
        last = lines[-1].number
        yield lines


def _answers(lines: list[BatchLine]) -> dict[UUID, Payload]:
    ids = [line.completion_id for line in lines if line.completion_id]
    payloads = Payload.objects.filter(request_id__in=ids, field="response")
    return {payload.request_id: payload for payload in payloads}


def _cut_off(batch: Batch, lines: list[BatchLine]) -> set[int]:
    """Returns the numbers of unfinished lines with usage: their access was revoked meanwhile."""
    keys = [key_of(line.number) for line in lines if line.state == LineState.WAITING]
    used = Usage.objects.filter(completion_id=OuterRef("completion_id"))
    billed = used.filter(Q(prompt_tokens__gt=0) | Q(completion_tokens__gt=0))
    claims = IdempotencyKey.objects.filter(tenant_id=batch.tenant_id, owner=batch.pk, key__in=keys)
    return {number_of(key) for key in claims.filter(Exists(billed)).values_list("key", flat=True)}


def _answer(answers: dict[UUID, Payload], line: BatchLine) -> bytes | None:
    payload = answers.get(line.completion_id) if line.completion_id else None
    if payload is None:
        return None
    aad = texts.aad(payload.tenant_id, payload.request_id, payload.field)
    try:
        return keyring.by_id_now(payload.data_key_id).decrypt(bytes(payload.ciphertext), aad)
    except Barred:
        raise
    except Unreadable:
        return None
