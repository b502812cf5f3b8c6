"""The first stage of a batch: its whole input is read once, and a row is made of each line.

A broken line fails the batch, as OpenAI's do: nothing has run, nothing is billed. What only the
model can refuse (an unknown field, a prompt that is too long) fails its line alone, later on.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from itertools import islice
from uuid import UUID

from django.conf import settings
from django.db import transaction

from inference.batch.file_store import FileReader
from inference.batch.input_lines import Line, Malformed, Problem, asked, longest, split
from inference.engines import served
from inference.models import Batch, BatchLine, BatchState, File

MOST_PROBLEMS = 50  # that are told
ROWS = 2_000  # in one transaction
BLANK_LINES = 1_000  # beside one after each line


def validate(batch_id: UUID, lease: UUID) -> None:
    """Begins the batch, or fails it. Done anew where it broke off. Raises Unreadable.

    Changes nothing any more once the lease is another's: that one's lines may be running.
    """
    batch = Batch.objects.get(pk=batch_id)
    with suppress(_LeaseLost):
        _validate(batch, lease)


def _validate(batch: Batch, lease: UUID) -> None:
    with _held(batch, lease):
        batch.lines.all().delete()
    check = _Check(batch)
    found = check.rows()
    while rows := list(islice(found, ROWS)):
        with _held(batch, lease):
            BatchLine.objects.bulk_create(rows)
    if not (check.total or check.problems):
        check.problems.append(Problem("empty_file", "the input file has no lines"))
    with _held(batch, lease):
        if check.problems:
            batch.lines.all().delete()
            batch.finalize(BatchState.FAILED, [problem._asdict() for problem in check.problems])
        else:
            batch.begin(check.total, check.model)


class _LeaseLost(Exception):
    pass


@contextmanager
def _held(batch: Batch, lease: UUID) -> Iterator[None]:
    """A transaction in which nobody else takes the batch. Raises _LeaseLost."""
    with transaction.atomic():
        mine = Batch.objects.filter(pk=batch.pk, lease=lease)
        if mine.select_for_update(no_key=True).values_list("pk").first() is None:
            raise _LeaseLost
        yield


class _Check:
    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._seen: set[bytes] = set()  # hashes of custom ids
        self._models: set[str] = set()
        self._served = frozenset(served())
        self.total = 0
        self.problems: list[Problem] = []

    @property
    def model(self) -> str:
        """Returns the model of all lines; "" where there are several, or none that is served."""
        return next(iter(self._models)) if len(self._models) == 1 else ""

    def rows(self) -> Iterator[BatchLine]:
        """None any more once something is wrong; problems are still looked for."""
        file = File.objects.whole().filter(pk=self._batch.input_file_id).first()
        if file is None:
            self.problems.append(Problem("file_not_found", "the input file has been deleted"))
            return
        for line in split(self._pieces(file)):
            if row := self._row(line):
                yield row
            if len(self.problems) >= MOST_PROBLEMS or self.total > settings.BATCH_LINES:
                return

    def _pieces(self, file: File) -> Iterator[bytes]:
        """No more of them than blank lines can be meant: 200 MB of these are minutes of work."""
        breaks, most = 0, settings.BATCH_LINES
        for piece in FileReader(file).pieces():
            breaks += piece.count(b"\n")
            if breaks > 2 * most + BLANK_LINES:
                message = f"a batch has at most {most} lines, and hardly more blank ones"
                self.problems.append(Problem("too_many_lines", message))
                return
            yield piece

    def _row(self, line: Line) -> BatchLine | None:
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

    def _checked(self, line: Line) -> tuple[int, str]:
        """Its length, and its model if that is served: of others nothing is kept in clear.

        Raises Malformed.
        """
        most = settings.BATCH_LINES
        if self.total > most:
            raise Malformed("too_many_lines", f"a batch has at most {most} lines")
        if line.text is None:
            raise Malformed("line_too_long", f"a line has at most {longest()} bytes")
        name, model = asked(line.text, self._batch.endpoint)
        digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if digest in self._seen:
            raise Malformed("duplicate_custom_id", "an earlier line has this id", "custom_id")
        self._seen.add(digest)
        model = model if model in self._served else ""
        self._models.add(model)
        return len(line.text), model
