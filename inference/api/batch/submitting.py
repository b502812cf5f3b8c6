"""Submits lines of a batch as requests, like any other front end. Its wire is the file.

It decides what a refusal means for the batch: the line fails, all lines are held for a while, or
the batch ends.
"""

import asyncio
import time
from dataclasses import replace
from typing import Any

import msgspec
import orjson
from django.conf import settings

from inference.api.batch import lines
from inference.api.batch.lines import in_thread
from inference.api.refusals import REFUSALS, as_error
from inference.batch.input_lines import ENDPOINTS
from inference.errors import BadRequest, TooLarge, error_body
from inference.intake.access.allowed import NotAllowed
from inference.intake.answer_stream import AnswerStream
from inference.intake.context import Context
from inference.intake.errors import NotAdmitted, OutOfService
from inference.intake.idempotency_claim import Claim
from inference.intake.prompt_templates import FIELD
from inference.intake.submission import Arrival, Options, Submission, read
from inference.intake.submit import submit
from inference.models import Batch
from inference.queue_control import cancelling
from inference.validation import bounded_json, requests
from inference.validation.requests import Form
from tenants.authentication.authenticator import (
    AuthenticationUnavailable,
    TenantClosed,
    UnknownCaller,
)
from tenants.caller import Caller
from tenants.models.tenant import State
from tenants.rate_limits.admission import TierRest

ROUTE = "/v1/batches"
CLASS = "batch"
COUNTED = 1  # its address was charged when the batch was created
HOLD_S = 5.0
SUBMITTING = 4  # lines at once: more could pass a limit before it is noticed
SUSPENDED_S = 60.0
LOOK_AGAIN_S = 900.0  # at a full quota, which somebody may raise


class Hold(Exception):
    """No line of the batch can begin for `seconds`; with `of_model`, no line of the same model."""

    def __init__(self, seconds: float, *, of_model: bool = False) -> None:
        super().__init__(seconds)
        self.seconds, self.of_model = seconds, of_model


class AccessLost(Exception):
    """The creator of the batch has lost access."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class LineRefused(Exception):
    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.status, self.body = status, body


class Asking:
    """Submits with the key that created the batch. `door` bounds the submissions at once."""

    def __init__(self, context: Context, batch: Batch, digest: bytes) -> None:
        self._context, self._batch, self._digest = context, batch, digest
        self.door = asyncio.Semaphore(SUBMITTING)

    async def submit(
        self,
        line: bytes,
        claim: Claim,
        among: frozenset[str] | None = None,
        *,
        may_be_repeated: bool = False,
    ) -> AnswerStream:
        """Submit a line. `among` are the pools that may take it; None: any of its model.

        Raises Hold, AccessLost, LineRefused, KeyTaken.
        """
        caller = await self._caller()
        try:
            of_line = {"claim": claim, "among": among, "may_be_repeated": may_be_repeated}
            submission = msgspec.structs.replace(await self._read(caller, line), **of_line)
            return await submit(self._context, submission)
        except NotAllowed as refused:
            raise AccessLost(refused.code, refused.message) from None
        except NotAdmitted as refused:
            raise self._not_admitted(refused, caller) from None
        except OutOfService as away:
            raise Hold(getattr(away, "retry_after", 0) or HOLD_S, of_model=True) from None
        except REFUSALS as refusal:
            raise _refused(refusal) from None

    async def _caller(self) -> Caller:
        """Returns the caller, by the successor of a rotated key. Raises Hold, AccessLost."""
        digest = self._digest
        try:
            return await self._authenticated()
        except AccessLost:
            fresh = await in_thread(lines.successor, self._batch)
            if not fresh or fresh == digest:
                raise
            self._digest = fresh
            return await self._authenticated()

    async def _authenticated(self) -> Caller:
        try:
            caller = await self._context.authenticator.by_digest(self._digest)
        except TenantClosed as closed:
            if closed.state == State.SUSPENDED:
                raise Hold(SUSPENDED_S) from None
            raise AccessLost("tenant_closed", "the tenant has been closed") from None
        except UnknownCaller:
            message = "the API key was revoked or has expired, or is restricted"
            raise AccessLost("access_revoked", message) from None
        except AuthenticationUnavailable:
            raise Hold(HOLD_S) from None
        return replace(caller, networks=())  # its address was checked when the batch was created

    async def _read(self, caller: Caller, line: bytes) -> Submission:
        """Returns the submission of a line. Raises NoSuchModel, ApiError, OutOfService."""
        parsed: dict[str, Any] = bounded_json.loads(line)["body"]  # an object: batch/validation.py
        length = len(orjson.dumps(parsed))
        if length > settings.MAX_BODY_BYTES:
            raise TooLarge(f"the body is larger than {settings.MAX_BODY_BYTES} bytes")
        requests.check_depth(parsed)
        if parsed.get("stream"):
            raise BadRequest("a line of a batch cannot be streamed", param="stream")
        form, prompt = ENDPOINTS[self._batch.endpoint], None
        if FIELD in parsed and not form.task:
            templates = self._context.prompt_templates
            prompt = await templates.prompt(caller, parsed, chat=form is Form.CHAT)
        options = Options(
            klass=CLASS,
            prompt=prompt,
            time_limit_s=self._left_s() + settings.REQUEST_DEADLINE_S,  # running lines may finish
        )
        return read(caller, parsed, length, form, Arrival(ROUTE, "", COUNTED), options)

    def _left_s(self) -> float:
        return max(1.0, self._batch.expires_at.timestamp() - time.time())

    def _not_admitted(self, refused: NotAdmitted, caller: Caller) -> Exception:
        """Returns a failure of the line if the quota frees too late or never, else a Hold.

        A quota of one model holds up that model's lines only.
        """
        admission = refused.admission
        frees_s = admission.frees_in_ms / 1000
        too_late = admission.tier == "quota" and frees_s > self._left_s()
        if too_late or admission.never_fits:
            error = as_error(refused)
            return LineRefused(error.status, error.body())
        of_model = any(q.id == admission.counter and q.model for q in caller.quotas)
        return Hold(max(0.1, min(frees_s, LOOK_AGAIN_S)), of_model=of_model)


def _refused(refusal: Exception) -> Exception:
    error = as_error(refusal)
    if error.status == 429 or error.status >= 500:
        return Hold(error.retry_after or HOLD_S, of_model=True)
    return LineRefused(error.status, error.body())


def room_s(answer: AnswerStream) -> float:
    """Returns how long to wait to leave half of the limits per minute for real-time requests."""
    limits = (answer.admission.requests, answer.admission.tokens)
    return max(_until_half(limit) if limit else 0.0 for limit in limits)


def _until_half(limit: TierRest) -> float:
    missing = limit.limit - limit.remaining
    if 2 * limit.remaining >= limit.limit or missing <= 0:
        return 0.0
    return limit.full_in_ms / 1000 * (limit.limit / 2 - limit.remaining) / missing


def internal_error() -> bytes:
    return error_body("something broke; it has been logged", "internal_error", 500)


def ended_elsewhere(status: int, code: str) -> bytes:
    """Returns the error of a request whose details only the record has."""
    messages: dict[str, Any] = {
        "not_queued": "the request was not queued",
        "aborted": "it took too long",
        cancelling.CODE: cancelling.MESSAGE,
    }
    return error_body(messages.get(code, "the request failed"), code or "failed", status)
