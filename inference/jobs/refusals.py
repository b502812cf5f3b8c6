"""Why a job is not created, in words for whoever asked."""


class JobRefused(Exception):
    """The job cannot be created as asked. `param` names the field at fault, if one is."""

    def __init__(self, message: str, *, code: str = "invalid_value", param: str = "") -> None:
        super().__init__(message)
        self.message, self.code, self.param = message, code, param


class NoRoom(JobRefused):
    """A limit of the tenant has no room: unfinished jobs, GPU time, or money."""


class NoPool(JobRefused):
    """The installation has no pool that can do it now."""
