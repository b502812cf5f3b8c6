"""Refusals of intake, common to all front ends. `inference/api/refusals.py` has the words."""

from collections.abc import Sequence

from inference.engines import Pool
from tenants.rate_limits.admission import Admission


class NotAdmitted(Exception):
    """A limit or a quota refuses it.

    `message` is set for each quota, and where the figures of a limit do not explain it.
    """

    def __init__(self, admission: Admission, message: str = "") -> None:
        super().__init__(admission.tier)
        self.admission, self.message = admission, message
        self.refusal_id = ""  # by which it can be explained (tenants/refusals/recorder.py)
        self.answer_tokens = 0  # the longest answer that the quota has room for, if that helps


class KeyTaken(Exception):
    """Another request has the idempotency key. Nothing has been recorded."""


class OutOfService(Exception):
    """PostgreSQL, Redis or a key is away. Nothing has been generated, nothing is billed."""


class QueueFull(OutOfService):
    """The limit of waiting requests, or of their wait, is reached in all of `pools`.

    `retry_after`: seconds until there is room in one.
    """

    def __init__(self, pools: Sequence[Pool], retry_after: int) -> None:
        super().__init__(f"too many requests wait for {pools[0].model}")
        self.pools, self.retry_after = pools, retry_after


class EnginesPaused(OutOfService):
    """The breakers of all engines that may serve the model are open.

    `retry_after` is in seconds. `local_only` is the reason why no hosted engine may serve it, if
    one would.
    """

    def __init__(self, model: str, retry_after: int, local_only: str = "") -> None:
        here = f", and this request may not leave this installation: {local_only}"
        where = here if local_only else ""
        super().__init__(f"the engines of {model} are paused after repeated failures{where}")
        self.retry_after = retry_after
