"""The first stage of a batch: its whole input is read once, and a row is made of each line.

A broken line fails the batch, as OpenAI's do: nothing has run, nothing is billed. What only the
model can refuse (an unknown field, a prompt that is too long) fails its line alone, later on.
"""

from collections.abc import Iterator
from hashlib import blake2b
from itertools import islice
from uuid import UUID

from django.conf import settings

from inference.batch.file_store import FileReader
from inference.batch.input_lines import Line, Malformed, Problem, asked, longest, split
from inference.engines import served
from inference.models import Batch, BatchLine, BatchState, File

MOST_PROBLEMS = 50  # that are told
ROWS = 2_000  # in one transaction


def validate(batch_id: UUID) -> None:
    """Begins the batch, or fails it. Done anew where it broke off. Raises Unreadable."""
    batch = Batch.objects.get(pk=batch_id)
    batch.lines.all().delete()
    check = _Check(batch)
    found = check.rows()
    while rows := list(islice(found, ROWS)):
        BatchLine.objects.bulk_create(rows)
    if not (check.total or check.problems):
        check.problems.append(Problem("empty_file", "the input file has no lines"))
    if check.problems:
        batch.lines.all().delete()
        batch.finalize(BatchState.FAILED, [problem._asdict() for problem in check.problems])
    else:
        batch.begin(check.total)


class _Check:
    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._seen: set[bytes] = set()  # hashes of custom ids
        self._served = frozenset(served())
        self.total = 0
        self.problems: list[Problem] = []

    def rows(self) -> Iterator[BatchLine]:
        """None any more once something is wrong; problems are still looked for."""
        file = File.objects.whole().filter(pk=self._batch.input_file_id).first()
        if file is None:
            self.problems.append(Problem("file_not_found", "the input file has been deleted"))
            return
        for line in split(FileReader(file).pieces()):
            if row := self._row(line):
                yield row
            if len(self.problems) >= MOST_PROBLEMS or self.total > settings.BATCH_LINES:
                return

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
        return len(line.text), model if model in self._served else ""
