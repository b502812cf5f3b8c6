"""The time of this installation, the same for all processes and after each restart."""

from channels.db import database_sync_to_async
from django.db import DatabaseError
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Min

from inference.intake.errors import OutOfService

_known: list[int] = []


async def at() -> int:
    """Returns the Unix time of the first migration, looked up once. Raises OutOfService."""
    if not _known:
        try:
            _known.append(await _look_up())
        except DatabaseError:
            raise OutOfService("the database does not answer") from None
    return _known[0]


@database_sync_to_async
def _look_up() -> int:
    first = MigrationRecorder.Migration.objects.aggregate(at=Min("applied"))["at"]
    return int(first.timestamp())
