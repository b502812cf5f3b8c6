"""What every call of the inference API has in common, whichever front end took it."""

import math
from collections.abc import Mapping
from functools import cached_property
from uuid import UUID, uuid4

from audit.proof import receipts
from inference.api import limits, quotas
from inference.api.refusing import as_error, is_on_record
from inference.current import works_for
from inference.errors import ApiError, Headers
from inference.intake import address_limit, allowed, unadmitted
from inference.intake.answer_stream import AnswerStream
from inference.intake.authentication import identify
from inference.intake.caching import NOT_KEPT
from inference.intake.context import Context
from inference.intake.errors import EnginesPaused, NotAdmitted, QueueFull
from inference.intake.prompt_templates import FIELD, Prompt
from inference.intake.refusals import denied, not_kept
from inference.intake.submission import Submission
from inference.intake.submit import submit
from inference.intake.unadmitted import Held, of_caller
from inference.intake.work_class import HEADER as CLASS
from inference.metrics.requests import Counted
from inference.queue.expected_wait import Place
from inference.stream.frames import Frame, upstream
from inference.tracing import attributes, spans, words
from inference.tracing.spans import OFF, Span, Value
from inference.validation.forms import Form
from inference.validation.schemas import Body
from tenants.caller import Caller
from tenants.key_scopes import Scope
from tenants.rate_limits.admission import Admission

UPSTREAM, TEMPLATE = b"x-forebay-upstream", b"x-forebay-template"
POSITION, EXPECTED_WAIT = b"x-forebay-queue-position", b"x-forebay-expected-wait-ms"
CACHE, PREEMPTIONS = b"x-forebay-cache", b"x-forebay-preemptions"
HEAVY = 64 * 1024  # bytes of a body: limits are asked before more of it is read
ELSEWHERE = 1  # the address was charged at the admission
_LIMITS = {b"x-ratelimit-limit-requests", b"x-ratelimit-limit-tokens"}


def named(request_id: str) -> tuple[bytes, bytes]:
    return b"x-request-id", request_id.encode()


class Call:
    """From its key to its admission or refusal. `headers`: what goes along with its answer."""

    def __init__(
        self, context: Context, route: str, client_ip: str, front_end: str = "http"
    ) -> None:
        self.context, self.route, self.client_ip = context, route, client_ip
        self.headers: Headers = []
        self.counted = Counted(front_end)
        self.caller: Caller | None = None  # once it is known
        self.address_counted_at = 0  # its address has been charged for it (address_limit.py)
        self.at_admission = False  # which charges the address
        self._was_heavy = False  # and was looked at before its body was read
        self.found_no_place = False  # where it would have waited: it is refused before that
        self.span: Span = OFF  # once it has begun
        works_for(self)

    @cached_property
    def request_id(self) -> str:
        """Of a completion its id; of anything else one that only the answer and the log know."""
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
        """Its answer has left. `name`, `wire`: what its span says of the way that it came."""
        self.counted.ended(self.route)
        if self.span is not OFF:
            words.end(self.span, self.counted, self.request_id, name, wire)

    def told(self) -> Headers:
        """What every answer and every refusal carries, on whatever wire."""
        return [named(self.request_id), *self.headers]

    async def authenticate(self, key: str, scope: str = Scope.INFERENCE) -> Caller:
        """Raises ApiError, NotAllowed, NotAdmitted."""
        with spans.step("authenticate"):
            self.address_counted_at = await address_limit.charge(
                self.context, key, self.client_ip, self.route
            )
            self.caller = caller = await identify(self.context, key)
        self.counted.tenant_id = caller.tenant_id
        allowed.check_address(caller, self.client_ip)
        allowed.check_scope(caller, scope)
        return caller

    async def look(self, caller: Caller) -> None:
        """For what no admission follows: what all limits leave. Raises NotAdmitted."""
        counted_at, self.at_admission = self.address_counted_at, True
        admission = await address_limit.look(
            self.context, caller, self.client_ip, self.route, counted_at
        )
        self.headers += limits.headers(admission)

    async def charge(self, caller: Caller) -> None:
        """For what is begun or stored without an admission: it counts as a request for address,
        key and tenant. Raises NotAdmitted.
        """
        counted_at, self.at_admission = self.address_counted_at, True
        admission = await address_limit.charge_unadmitted(
            self.context, caller, self.client_ip, self.route, counted_at
        )
        self.headers += limits.headers(admission)

    async def charge_stored(self, size: int) -> None:
        """Bytes of a file, before they are stored. Raises NotAdmitted."""
        assert self.caller
        where = self.context, self.caller, self.client_ip, self.route
        await address_limit.charge_stored(*where, size)

    async def hold(self, size: int) -> None:
        """Counts so many bytes of a large body, until `let_go`. Before they are read, a request
        that the limits would refuse anyhow is refused.

        Raises LimitReached, Unavailable, NotAdmitted.
        """
        if full := self.held.grow(size):
            raise unadmitted.refusal(full)
        if size > HEAVY and self.caller and not (self._was_heavy or self.at_admission):
            self._was_heavy = True
            await self._charge_before_reading(self.caller)

    async def _charge_before_reading(self, caller: Caller) -> None:
        try:
            self.address_counted_at = await address_limit.charge_before_reading(
                self.context, caller, self.client_ip, self.route, self.address_counted_at
            )
        except NotAdmitted:
            self.at_admission = True  # it was refused as it would have been there
            raise

    @cached_property
    def held(self) -> Held:
        """What its body takes of this process's memory."""
        return Held(unadmitted.budget(), lambda: of_caller(self.caller, self.client_ip))

    def let_go(self) -> None:
        """Its body is admitted, or refused."""
        if held := self.__dict__.get("held"):
            held.release()

    async def prompt(self, caller: Caller, body: Body, form: Form) -> Prompt | None:
        """Of the template that a body names. Raises BadRequest, NotFound, OutOfService."""
        if FIELD not in body or form is Form.PLAIN:
            return None
        templates = self.context.prompt_templates
        prompt = await templates.prompt(caller, body, chat=form is Form.CHAT)
        self.headers.append((TEMPLATE, prompt.version.encode()))
        return prompt

    async def submit(self, submission: Submission) -> AnswerStream:
        """Raises NotAllowed, NoSuchModel, NotAdmitted, OutOfService, KeyTaken."""
        self.at_admission = True
        try:
            answer = await submit(self.context, submission)
        except (QueueFull, EnginesPaused):
            self.found_no_place = True
            raise
        self.request_id, self.counted.order = str(answer.order.id), answer.order
        self.tell_upstream(upstream(answer.order.queue))
        self.tell_receipt(answer)
        self.tell_class(answer)
        self.tell_place(answer.place)
        self.headers += limits.headers(answer.admission)
        if answer.order.cached:
            self._tell_cache("hit" if answer.is_kept else "miss")
        if submission.stream:  # a whole answer tells what remains once it is settled
            self.headers += quotas.headers(answer.verdict)
        return answer

    def tell_upstream(self, name: str) -> None:
        """Who serves it, as far as that is known by now: what is told later is nearer the truth."""
        self._tell(UPSTREAM, name.encode())

    def tell_frame(self, frame: Frame | None) -> None:
        """What a frame says besides: who serves, and how often its slot was wanted by others."""
        if frame and frame.upstream:
            self.tell_upstream(frame.upstream)
        if frame and frame.preemptions:
            self._tell(PREEMPTIONS, b"%d" % frame.preemptions)

    def _tell(self, name: bytes, value: bytes) -> None:
        self.headers = [line for line in self.headers if line[0] != name]
        self.headers.append((name, value))

    def _tell_cache(self, found: str) -> None:
        self.headers.append((CACHE, found.encode()))
        self.span.tell({attributes.CACHE: found})

    def tell_receipt(self, answer: AnswerStream) -> None:
        self.headers.append((receipts.HEADER, answer.receipt))

    def tell_class(self, answer: AnswerStream) -> None:
        self.headers.append((CLASS.encode(), answer.order.klass.encode()))

    def tell_place(self, place: Place) -> None:
        """Of a request that has to wait, as it joined the queue."""
        if place.position:
            self.headers.append((POSITION, b"%d" % place.position))
        if place.wait_s:
            self.headers.append((EXPECTED_WAIT, b"%d" % math.ceil(place.wait_s * 1000)))

    # Refusals ------------------------------------------------------------------------------------
    async def refused(self, refusal: Exception) -> ApiError:
        """The error to tell. It is noted where it has to be, and counts for the limits."""
        assert self.request_id  # by which the lines about it name it, from here on
        error = as_error(refusal)
        self.caller = self.caller or error.caller
        if error.is_refusal:
            self.counted.refused(getattr(error, "tier", "") or error.code)
        if is_on_record(refusal, error):
            self._put_on_record(error)
        elif error.code == NOT_KEPT:
            not_kept(self.context, self.caller, self.route, self.client_ip)
        if self.caller:
            error = await self._with_limits(self.caller, error)
        told = {name for name, _ in error.extra}
        self.headers = [line for line in self.headers if line[0] not in told]
        return error

    async def _with_limits(self, caller: Caller, error: ApiError) -> ApiError:
        """And what they leave. Refused before its admission, it counts for all: it was work."""
        told = {name for name, _ in (*self.headers, *error.extra)}
        try:
            left = await self._left(caller, told)
        except NotAdmitted as refused:
            if error.status in (400, 404):
                return limits.limit_reached(refused)
            left = refused.admission
        if left:
            self.headers += [line for line in limits.headers(left) if line[0] not in told]
        return error

    async def _left(self, caller: Caller, told: set[bytes]) -> Admission | None:
        asked = self.context, caller, self.client_ip, self.route
        if not self.at_admission:
            return await address_limit.charge_unadmitted(*asked, self.address_counted_at)
        if told & _LIMITS:
            return None
        elsewhere = 0 if self.found_no_place else ELSEWHERE
        return await address_limit.look(*asked, self.address_counted_at or elsewhere)

    def _put_on_record(self, error: ApiError) -> None:
        where = self.context, self.caller, self.route, self.client_ip
        denied(*where, status=error.status, code=error.code)
