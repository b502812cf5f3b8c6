"""Has a kind make its result durable, and says what stands in the way."""

from pathlib import Path

from django.core.exceptions import ValidationError

from inference.data_sets.storage_limit import StorageFull, TooLarge, VersionGone
from inference.jobs.kinds import KINDS
from inference.jobs.results import NoResult
from inference.model_registry.headers.header import BadFile
from inference.model_registry.room import RegistryFull
from inference.models import Job


class CannotFinish(Exception):
    """The result cannot be kept."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def finish(job: Job, output: Path) -> None:
    """Make the result durable. It may be repeated. Raises CannotFinish, StoreError."""
    try:
        KINDS[job.kind].finish(job, output)
    except (RegistryFull, StorageFull):
        text = "there is no room for its result: delete versions that nobody needs, then resume it"
        raise CannotFinish("registry_full", text) from None
    except (BadFile, NoResult, TooLarge) as problem:
        text = f"what the trainer made cannot be registered: {problem}"
        raise CannotFinish("bad_result", text) from None
    except VersionGone:
        raise CannotFinish("material_gone", "its data set was deleted") from None
    except ValidationError as problem:
        raise CannotFinish("bad_result", " ".join(problem.messages)) from None
