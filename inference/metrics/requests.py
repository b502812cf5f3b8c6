"""Metrics of requests that front ends answered or refused."""

import time
from uuid import UUID

from inference.metrics import labels
from inference.order import Order
from infrastructure.metrics import Counter, Histogram, Label
from tenants.models.refusal import RefusedBy

REASONS = (
    *RefusedBy.values,
    *("open_calls", "too_many_batches", "file_storage_full", "too_many_files"),
    *("queue_full", "server_overloaded", "server_stopped", "too_many_bytes_sent"),
    *("engine_unavailable", "no_local_engine", "not_queued", "internal_error", "cancelled"),
    *("invalid_request", "invalid_json", "invalid_protobuf", "invalid_variable"),
    *("unsupported_value", "unsupported_content_encoding", "context_length_exceeded"),
    *("not_offered", "too_many_tokens"),
    *("request_timeout", "request_too_large", "method_not_allowed", "not_found", "not_cached"),
    *("model_not_found", "stream_not_found", "request_not_found", "template_not_found"),
    *("file_not_found", "batch_not_found", "upload_not_found", "address_not_fetched"),
    *("policy_not_found", "decision_not_found", "contest_not_found", "already_contested"),
    *("assistant_not_found", "dialogue_not_found", "person_restricted"),
    *("invalid_widget_key", "visitor_token_expired", "unknown_field"),
    *("invalid_input", "missing_input", "unknown_input"),
    *("item_not_found", "previous_response_not_found", "previous_response_not_completed"),
    *("response_not_found", "chain_too_long"),
    *("response_not_in_background", "response_not_streamed", "no_summary"),
    *("file_in_use", "file_gone", "on_hold", "conflict"),
    *("idempotency_key_in_use", "idempotency_key_reused", "idempotency_answer_gone"),
    *("invalid_api_key", "api_key_in_url", "forbidden", "insufficient_scope", "restricted"),
    *("address_not_allowed", "origin_not_allowed", "tenant_closed", "access_revoked"),
    *("tenant_suspended", "tenant_closing"),
)
ANSWERED = Counter(
    "forebay_requests_total",
    "Requests that have ended, by the status that their client was told",
    labels.FRONT_END,
    labels.ROUTE,
    labels.MODEL,
    labels.CLASS,
    labels.STATUS,
    labels.TENANT,
)
REFUSED = Counter(
    "forebay_refusals_total",
    "Requests that were refused, by the limit that had no room, or by the error's code",
    labels.FRONT_END,
    Label.of("reason", *REASONS),
    labels.TENANT,
)
# A first burst is an increase, too: ForebayQueueFull asks for it.
for _front_end in labels.FRONT_ENDS:
    REFUSED.of(_front_end, "queue_full", "")
LASTED = Histogram(
    "forebay_request_duration_seconds",
    "From the head of a request to the last byte of its answer",
    labels.FRONT_END,
    labels.ROUTE,
    bounds=(0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
MISS = "miss"
LOOKED = Counter(
    "forebay_cache_lookups_total",
    "Requests that looked for a kept answer, by where it was: in the process, in Valkey, with a "
    "request in flight, or nowhere",
    Label.of("level", "l1", "l2", "shared", MISS),
)


class Counted:
    """One request, counted when it ends."""

    __slots__ = ("began", "front_end", "order", "over", "reason", "status", "tenant_id")

    def __init__(self, front_end: str) -> None:
        self.front_end, self.began = front_end, time.monotonic()
        self.status = labels.CANCELLED  # until a status is set
        self.order: Order | None = None  # once it is recorded
        self.tenant_id: UUID | None = None
        self.over = False
        self.reason = ""  # of its refusal

    def refused(self, reason: str) -> None:
        self.reason = reason
        REFUSED.of(self.front_end, reason, self._tenant).value += 1

    @property
    def log_id(self) -> str:
        return str(self.order.id) if self.order else ""

    def ended(self, route: str) -> None:
        self.over = True
        model, klass = (self.order.model, self.order.klass) if self.order else ("", "")
        status = str(self.status)
        ANSWERED.of(self.front_end, route, model, klass, status, self._tenant).value += 1
        LASTED.of(self.front_end, route).observe(time.monotonic() - self.began)

    @property
    def _tenant(self) -> str:
        return labels.tenant(self.tenant_id) if self.tenant_id else ""
