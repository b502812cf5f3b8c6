"""How the trainer's process ends: its exit codes, and what they mean for the job."""

from inference.jobs.on_host.events_file import Event

DONE, PAUSED, BY_SIGNAL = 0, 75, 128
_BY_CODE = {
    64: ("bad_order", "the trainer refused the order"),
    65: ("bad_data", "the data cannot be used"),
    69: ("bad_base", "the base model cannot be used"),
    71: ("out_of_memory", "the memory is too small for this job"),
    73: ("disk_full", "the disk of the worker is full"),
    70: ("trainer_broken", "the trainer broke: this is a fault of the platform"),
    127: ("no_trainer", "this host has no trainer: forebay trainer install"),
}
# The order itself or its data is at fault: its time is paid for, else it could train for nothing.
BY_ORDER = (64, 65, 69, 71)
_KILLED = ("trainer_killed", "the trainer's process was killed again and again")
NO_ROOM = ("checkpoints_full", "the checkpoints of this tenant's jobs have no room")
_UNKNOWN = ("trainer_broken", "the trainer could not be started, or broke")

# Ends of an order after which the job waits for a person, and can be resumed.
PAUSING = frozenset(
    {
        *("disk_full", "registry_full", "checkpoints_full"),
        *("no_trainer", "no_progress", "cancelled_by_operator", "files_damaged"),
    }
)
# Ends after which it is tried again.
PASSING = frozenset({"store_unavailable"})
_PASSES = (429, 503, 504)  # statuses


def passes(code: str, status: int) -> bool:
    """Returns whether an order that ended so is to be followed by another one, after a while."""
    return code in PASSING or status in _PASSES


class TrainerFailed(Exception):
    """The trainer's process failed. `gpu_ms` is paid for all the same."""

    def __init__(self, code: str, message: str, gpu_ms: int = 0) -> None:
        super().__init__(message)
        self.code, self.message, self.gpu_ms = code, message, gpu_ms


def failure_of(code: int, error: Event | None) -> tuple[str, str]:
    """Returns code and message, those of the trainer's own event where there is one."""
    own, message = _KILLED if code > BY_SIGNAL else _BY_CODE.get(code, _UNKNOWN)
    if error is None:
        return own, message
    text = str(error.get("message") or message)[:300]
    fits = error.get("fits")
    if fits is not None:
        text = f"{text}; it fits with {str(fits)[:100]}"
    # The pausing codes of the platform hold, whatever the trainer calls them.
    return own if own in PAUSING else str(error.get("code") or own)[:60], text
