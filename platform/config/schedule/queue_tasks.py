"""Tasks that work off a queue; audit/due_tasks.py and inference/due_tasks.py look what waits."""

from typing import NamedTuple


class Work(NamedTuple):
    task: str
    every_s: float  # while something waits
    expires_s: float  # an older message is dropped


WORK = (
    Work("inference.sweep", 1, 5),
    Work("inference.replace", 1, 5),
    Work("audit.seal", 1, 5),
    Work("audit.tell_witnesses", 1, 2),
    Work("audit.delete", 2, 5),
    Work("audit.rotate", 4, 4),
    Work("inference.roll_up", 10, 10),
    Work("audit.export_subjects", 10, 10),
    Work("audit.export", 30, 30),
    Work("inference.drive_batches", 1, 5),
    Work("inference.forget_files", 60, 60),
    Work("inference.forget_keys", 60, 60),
)
