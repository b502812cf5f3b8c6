"""Why a request is not taken, whatever it came in by. `inference/api/refusing.py` has the words."""

from collections.abc import Sequence

from inference.engines import Pool
from tenants.rate_limits.admission import Admission


class NotAdmitted(Exception):
    """`message` says why, where the figures of the admission do not."""

    def __init__(self, admission: Admission, message: str = "") -> None:
        super().__init__(admission.tier)
        self.admission, self.message = admission, message
        self.refusal_id = ""  # for whoever asks why (tenants/refusals/recorder.py)
        self.answer_tokens = 0  # of the longest answer that the quota has room for, if that helps


class KeyTaken(Exception):
    """Another request has the idempotency key: nothing has been recorded."""


class OutOfService(Exception):
    """PostgreSQL, Redis or a key is away; nothing has been generated, nothing is billed."""


class QueueFull(OutOfService):
    """As many wait as may, or for as long, in all of `pools`.

    `retry_after`: seconds until there is room in one.
    """

    def __init__(self, pools: Sequence[Pool], retry_after: int) -> None:
        super().__init__(f"too many requests wait for {pools[0].model}")
        self.pools, self.retry_after = pools, retry_after


class EnginesPaused(OutOfService):
    """The breakers of all engines that may serve the model are open.

    `retry_after`: seconds. `stays`: why no hosted one may, if one would.
    """

    def __init__(self, model: str, retry_after: int, stays: str = "") -> None:
        where = f", and this request may not leave this installation: {stays}" if stays else ""
        super().__init__(f"the engines of {model} are paused after repeated failures{where}")
        self.retry_after = retry_after
