"""The steps of every call of the inference API, common to all front ends."""

import math
from collections.abc import Mapping
from functools import cached_property
from uuid import UUID, uuid4

from msgspec import structs

from audit.proof import receipts
from inference.api import limit_headers
from inference.api.refusals import as_error, is_recorded, limit_reached
from inference.errors import ApiError, Headers
from inference.intake import rate_limits, refusals
from inference.intake.access import allowed
from inference.intake.answer_stream import AnswerStream
from inference.intake.authentication import identify
from inference.intake.cache_lookup import NOT_KEPT
from inference.intake.context import Context
from inference.intake.errors import EnginesPaused, NotAdmitted, QueueFull
from inference.intake.limits import unadmitted_bodies
from inference.intake.limits.unadmitted_bodies import BodyMemory, of_caller
from inference.intake.prompt_templates import FIELD, FilledTemplate
from inference.intake.submission import CLASS, Arrival, Options, Submission, read
from inference.intake.submit import submit
from inference.log_context import works_for
from inference.metrics.requests import Counted
from inference.queue.expected_wait import Place
from inference.stream.frames import Frame, upstream
from inference.tracing import attributes, span_values, spans
from inference.tracing.spans import OFF, Span, Value
from inference.validation.requests import Form
from inference.validation.schemas import Body
from tenants.caller import Caller
from tenants.key_scopes import Scope
from tenants.rate_limits.admission import Admission

UPSTREAM, TEMPLATE = b"x-forebay-upstream", b"x-forebay-template"
POSITION, EXPECTED_WAIT = b"x-forebay-queue-position", b"x-forebay-expected-wait-ms"
SESSION = b"x-forebay-session"
CACHE, PREEMPTIONS = b"x-forebay-cache", b"x-forebay-preemptions"
HEAVY = 64 * 1024  # bytes of a body: limits are checked before more of it is read
ELSEWHERE = 1  # the address was counted at the admission
_LIMITS = {b"x-ratelimit-limit-requests", b"x-ratelimit-limit-tokens"}


def request_id_header(request_id: str) -> tuple[bytes, bytes]:
    return b"x-request-id", request_id.encode()


class Call:
    """A call from its key to its admission or refusal. `headers` go with its answer."""

    def __init__(
        self, context: Context, route: str, client_ip: str, front_end: str = "http"
    ) -> None:
        self.context, self.route, self.client_ip = context, route, client_ip
        self.headers: Headers = []
        self.counted = Counted(front_end)
        self.caller: Caller | None = None  # once it is known
        # set once its address is counted: intake/rate_limits.py
        self.address_counted_at = 0
        self.at_admission = False  # the admission counts the address
        self._was_heavy = False  # and was counted before its body was read
        self.found_no_place = False  # refused before it could wait in a queue
        self.has_answer = False  # a request stands behind it, which may be sent again
        self.span: Span = OFF  # once it has begun
        works_for(self)

    @cached_property
    def request_id(self) -> str:
        """The id of a completion; for other calls an id that only the answer and the log have."""
        return str(uuid4())

    @property
    def log_id(self) -> str:
        return str(self.__dict__.get("request_id", ""))

    @property
    def tenant_id(self) -> UUID | None:
        return self.counted.tenant_id

    @property
    def over(self) -> bool:
        return self.counted.over

    def end(self, name: str, wire: Mapping[str, Value]) -> None:
        """Count the answer and end its span. `name` and `wire` describe the transport."""
        self.counted.ended(self.route)
        if self.span is not OFF:
            span_values.end(self.span, self.counted, self.request_id, name, wire)

    def response_headers(self) -> Headers:
        """Returns the headers of every answer and refusal, on any transport."""
        return [request_id_header(self.request_id), *self.headers]

    async def authenticate(self, key: str, scope: str = Scope.INFERENCE) -> Caller:
        """Identify the caller. Raises ApiError, NotAllowed, NotAdmitted."""
        with spans.step("authenticate"):
            self.address_counted_at = await rate_limits.count_unknown_key(
                self.context, key, self.client_ip, self.route
            )
            self.caller = caller = await identify(self.context, key)
        self.counted.tenant_id = caller.tenant_id
        allowed.check_address(caller, self.client_ip)
        allowed.check_scope(caller, scope)
        return caller

    async def add_limit_headers(self, caller: Caller) -> None:
        """Add limit headers to a call without an admission. Raises NotAdmitted."""
        self.at_admission = True
        admission = await rate_limits.remaining(*self._address(caller))
        self.headers += limit_headers.headers(admission)

    async def count_request(self, caller: Caller) -> None:
        """Count a call that begins or stores something without an admission.

        It counts as a request of address, key and tenant. Raises NotAdmitted.
        """
        self.at_admission = True
        admission = await rate_limits.count_request(*self._address(caller))
        self.headers += limit_headers.headers(admission)

    async def count_stored_bytes(self, size: int) -> None:
        """Count bytes of a file before they are stored. Raises NotAdmitted."""
        assert self.caller
        await rate_limits.count_stored_bytes(
            self.context, self.caller, self.client_ip, self.route, size
        )

    def _address(self, caller: Caller) -> tuple[Context, Caller, str, str, int]:
        """Returns the arguments of `rate_limits`."""
        return self.context, caller, self.client_ip, self.route, self.address_counted_at

    async def hold(self, size: int) -> None:
        """Reserve memory for a large body until `release_body`.

        A request that the limits would refuse is refused before its body is read. Raises
        LimitReached, Unavailable, NotAdmitted.
        """
        if full := self.body_memory.grow(size):
            raise unadmitted_bodies.refusal(full)
        if size > HEAVY and self.caller and not (self._was_heavy or self.at_admission):
            self._was_heavy = True
            await self._count_before_reading(self.caller)

    async def _count_before_reading(self, caller: Caller) -> None:
        try:
            address = self._address(caller)
            self.address_counted_at = await rate_limits.count_address(*address)
        except NotAdmitted:
            self.at_admission = True  # refused as it would have been at the admission
            raise

    @cached_property
    def body_memory(self) -> BodyMemory:
        """The memory that its body takes of this process."""
        return BodyMemory(
            unadmitted_bodies.budget(), lambda: of_caller(self.caller, self.client_ip)
        )

    def release_body(self) -> None:
        """Release the memory of its body, which is admitted or refused."""
        if memory := self.__dict__.get("body_memory"):
            memory.release()

    async def _prompt(self, caller: Caller, body: Body, form: Form) -> FilledTemplate | None:
        """Returns the prompt of the template that a body names.

        Raises BadRequest, NotFound, OutOfService.
        """
        if FIELD not in body or form is Form.PLAIN or form.task:
            return None
        templates = self.context.prompt_templates
        prompt = await templates.prompt(caller, body, chat=form is Form.CHAT)
        self.headers.append((TEMPLATE, prompt.version.encode()))
        return prompt

    async def read(
        self, caller: Caller, body: Body, length: int, form: Form, options: Options
    ) -> Submission:
        """Returns the checked submission of a body. Raises NoSuchModel, ApiError, OutOfService."""
        if prompt := await self._prompt(caller, body, form):
            options = structs.replace(options, prompt=prompt)
        arrival = Arrival(self.route, self.client_ip, self.address_counted_at)
        return read(caller, body, length, form, arrival, options)

    async def submit(self, submission: Submission) -> AnswerStream:
        """Submit the request.

        Raises NotAllowed, NoSuchModel, NotAdmitted, OutOfService, KeyTaken.
        """
        self.at_admission = True
        try:
            answer = await submit(self.context, submission)
        except (QueueFull, EnginesPaused):
            self.found_no_place = True
            raise
        self.request_id, self.counted.order = str(answer.order.id), answer.order
        self.has_answer = True
        self.tell_answer(answer, answer.order.queue)
        self._tell_place(answer.place)
        self.headers += limit_headers.headers(answer.admission)
        if answer.order.cached:
            outcome = "hit" if answer.is_kept else "miss"
            self.headers.append((CACHE, outcome.encode()))
            self.span.tell({attributes.CACHE: outcome})
        if submission.stream:  # for a whole answer they follow once it is settled
            self.headers += limit_headers.quota_headers(answer.verdict)
        return answer

    def tell_answer(self, answer: AnswerStream, queue: str) -> None:
        """Set headers of every answer: its pool, its receipt, its class, and its session."""
        self._set_header(UPSTREAM, upstream(queue).encode())
        self.headers.append((receipts.HEADER, answer.receipt))
        self.headers.append((CLASS.encode(), answer.order.klass.encode()))
        if session := answer.order.session:
            self.headers.append((SESSION, str(session).encode()))

    def tell_frame(self, frame: Frame | None) -> None:
        """Set headers from a frame: the serving engine and the number of preemptions."""
        if frame and frame.upstream:
            self._set_header(UPSTREAM, frame.upstream.encode())
        if frame and frame.preemptions:
            self._set_header(PREEMPTIONS, b"%d" % frame.preemptions)

    def tell_whole(self, answer: AnswerStream, frame: Frame) -> None:
        """Set headers of an answer in one piece, with what its quotas have left after it."""
        self.tell_frame(frame)
        if answer.verdict.left:
            verdict, order, usage = answer.verdict, answer.order, limit_headers.usage_in(frame)
            self.headers += limit_headers.quota_headers_after(verdict, order, usage, frame.upstream)

    def _set_header(self, name: bytes, value: bytes) -> None:
        self.headers = [line for line in self.headers if line[0] != name]
        self.headers.append((name, value))

    def _tell_place(self, place: Place) -> None:
        """Set the headers of a request that has to wait, as it joins the queue."""
        if place.position:
            self.headers.append((POSITION, b"%d" % place.position))
        if place.wait_s:
            self.headers.append((EXPECTED_WAIT, b"%d" % math.ceil(place.wait_s * 1000)))

    # Refusals ------------------------------------------------------------------------------------
    async def refused(self, refusal: Exception) -> ApiError:
        """Returns the error to write, after recording it and counting it."""
        assert self.request_id  # log lines name it from here on
        error = as_error(refusal)
        error.request_id = self.request_id
        self.caller = self.caller or error.caller
        if error.is_refusal:
            self.counted.refused(getattr(error, "tier", "") or error.code)
        if is_recorded(refusal, error):
            self.denied(error.status, error.code)
        elif error.code == NOT_KEPT:
            refusals.not_cached(self.context, self.caller, self.route, self.client_ip)
        if self.caller:
            error = await self._with_limits(self.caller, error)
        error_names = {name for name, _ in error.extra}
        self.headers = [line for line in self.headers if line[0] not in error_names]
        return error

    async def _with_limits(self, caller: Caller, error: ApiError) -> ApiError:
        """Add limit headers. Requests refused before admission still count."""
        present = {name for name, _ in (*self.headers, *error.extra)}
        try:
            admission = await self._admission(caller, present)
        except NotAdmitted as refused:
            if error.status in (400, 404):
                return limit_reached(refused)
            admission = refused.admission
        if admission:
            self.headers += [
                line for line in limit_headers.headers(admission) if line[0] not in present
            ]
        return error

    async def _admission(self, caller: Caller, present: set[bytes]) -> Admission | None:
        if not self.at_admission:
            return await rate_limits.count_request(*self._address(caller))
        if present & _LIMITS:
            return None
        elsewhere = 0 if self.found_no_place else ELSEWHERE
        counted_at = self.address_counted_at or elsewhere
        return await rate_limits.remaining(
            self.context, caller, self.client_ip, self.route, counted_at
        )

    def denied(self, status: int, code: str) -> None:
        """Record a denial for the tenant, or for the operators."""
        where = self.context, self.caller, self.route, self.client_ip
        refusals.denied(*where, status=status, code=code)
