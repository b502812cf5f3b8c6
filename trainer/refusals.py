"""Exit codes of the trainer, and the errors that carry them."""

from enum import IntEnum


class Exit(IntEnum):
    DONE = 0
    BAD_ORDER = 64
    BAD_DATA = 65
    BASE_UNUSABLE = 69
    BUG = 70
    OUT_OF_MEMORY = 71
    DISK_FULL = 73
    PAUSED = 75


class Refusal(Exception):
    """An end with a code for programs, and a sentence that quotes no data."""

    def __init__(self, ending: Exit, code: str, message: str, *, fits: object = None) -> None:
        super().__init__(message)
        self.ending = ending
        self.code = code
        self.message = message
        self.fits = fits  # what would fit, for OUT_OF_MEMORY


def bad_order(code: str, message: str) -> Refusal:
    return Refusal(Exit.BAD_ORDER, code, message)


def bad_data(code: str, message: str) -> Refusal:
    return Refusal(Exit.BAD_DATA, code, message)


def unusable(code: str, message: str) -> Refusal:
    return Refusal(Exit.BASE_UNUSABLE, code, message)


class Paused(Exception):
    """SIGTERM was obeyed: all that is needed to go on is in the checkpoint."""


class EndedElsewhere(Exception):
    """Other processes did the order, and have reported how it ended."""

    def __init__(self, ending: Exit) -> None:
        super().__init__(ending.name)
        self.ending = ending
