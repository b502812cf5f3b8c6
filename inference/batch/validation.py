"""The first stage of a batch: its whole input is read once, and each line becomes a row.

A malformed line fails the batch, as OpenAI's do: nothing has run, nothing is billed. A line that
only the model can refuse (an unknown field, a prompt that is too long) fails alone, later.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from itertools import islice
from uuid import UUID

from django.conf import settings
from django.db import transaction

from inference.batch.file_store import FileReader
from inference.batch.input_lines import (
    InputLine,
    InputProblem,
    Malformed,
    line_request,
    longest,
    split,
)
from inference.engines import adapters, aliases, is_open_to, served
from inference.models import Batch, BatchLine, BatchState, File

MOST_PROBLEMS = 50  # that are reported
ROWS = 2_000  # rows in one transaction
BLANK_LINES = 1_000  # besides one after each line


def validate(batch_id: UUID, lease: UUID) -> None:
    """Begin the batch or fail it. A repeated call starts over. Raises Unreadable.

    It changes nothing once another process has the lease, whose lines may be running.
    """
    batch = Batch.objects.get(pk=batch_id)
    with suppress(_LeaseLost):
        _validate(batch, lease)


def _validate(batch: Batch, lease: UUID) -> None:
    with _leased(batch, lease):
        batch.lines.all().delete()
    check = _Check(batch)
    checked = check.rows()
    while rows := list(islice(checked, ROWS)):
        with _leased(batch, lease):
            BatchLine.objects.bulk_create(rows)
    if not (check.total or check.problems):
        check.problems.append(InputProblem("empty_file", "the input file has no lines"))
    with _leased(batch, lease):
        if check.problems:
            batch.lines.all().delete()
            batch.finalize(BatchState.FAILED, [problem._asdict() for problem in check.problems])
        else:
            batch.begin(check.total, check.model)


class _LeaseLost(Exception):
    pass


@contextmanager
def _leased(batch: Batch, lease: UUID) -> Iterator[None]:
    """Opens a transaction in which no other process can take the batch. Raises _LeaseLost."""
    with transaction.atomic():
        leased = Batch.objects.filter(pk=batch.pk, lease=lease)
        if leased.select_for_update(no_key=True).values_list("pk").first() is None:
            raise _LeaseLost
        yield


def _bases(tenant_id: UUID) -> dict[str, str]:
    """Returns the served model behind each name that the tenant's lines may have."""
    bases = {name: name for name in served() if is_open_to(tenant_id, name)}
    own = adapters.of_tenant(tenant_id)
    bases |= {row.model: row.base for row in own if row.base in bases} | bases
    named = aliases.of_tenant(tenant_id)
    return {row.name: bases[row.model] for row in named if row.model in bases} | bases


class _Check:
    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._seen: set[bytes] = set()  # hashes of custom ids
        self._models: set[str] = set()
        self._bases = _bases(batch.tenant_id)
        self.total = 0
        self.problems: list[InputProblem] = []

    @property
    def model(self) -> str:
        """Returns the model of all lines; "" if there are several, or it is not served."""
        return next(iter(self._models)) if len(self._models) == 1 else ""

    def rows(self) -> Iterator[BatchLine]:
        """Yields rows until the first problem. Further problems are still collected."""
        file = File.objects.whole().filter(pk=self._batch.input_file_id).first()
        if file is None:
            self.problems.append(InputProblem("file_not_found", "the input file has been deleted"))
            return
        for line in split(self._pieces(file)):
            if row := self._row(line):
                yield row
            if len(self.problems) >= MOST_PROBLEMS or self.total > settings.BATCH_LINES:
                return

    def _pieces(self, file: File) -> Iterator[bytes]:
        """Yields the pieces until there are too many line breaks: 200 MB of them take minutes."""
        breaks, most = 0, settings.BATCH_LINES
        for piece in FileReader(file).pieces():
            breaks += piece.count(b"\n")
            if breaks > 2 * most + BLANK_LINES:
                message = f"a batch has at most {most} lines, and hardly more blank ones"
                self.problems.append(InputProblem("too_many_lines", message))
                return
            yield piece

    def _row(self, line: InputLine) -> BatchLine | None:
        self.total += 1
        try:
            length, model = self._checked(line)
        except Malformed as malformed:
            self.problems.append(malformed.at(line.number))
        if self.problems:
            return None
        return BatchLine(
            tenant_id=self._batch.tenant_id,
            batch=self._batch,
            number=line.number,
            offset=line.offset,
            length=length,
            model=model,
        )

    def _checked(self, line: InputLine) -> tuple[int, str]:
        """Returns its length, and its model if that is served: of an adapter the base, of an alias
        what is behind it.

        Other names are not stored in clear.

        Raises Malformed.
        """
        most = settings.BATCH_LINES
        if self.total > most:
            raise Malformed("too_many_lines", f"a batch has at most {most} lines")
        if line.text is None:
            raise Malformed("line_too_long", f"a line has at most {longest()} bytes")
        name, model = line_request(line.text, self._batch.endpoint)
        digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if digest in self._seen:
            raise Malformed("duplicate_custom_id", "an earlier line has this id", "custom_id")
        self._seen.add(digest)
        model = self._bases.get(model, "")
        self._models.add(model)
        return len(line.text), model
