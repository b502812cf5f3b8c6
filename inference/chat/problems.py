"""Messages for a person about things that failed, in their language."""

import logging
import math

from django.db import DatabaseError
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from audit.keys.master_keys.errors import MasterKeyUnavailable
from inference.chat.protocol import Problem
from inference.intake.access.allowed import NotAllowed
from inference.intake.errors import EnginesPaused, NotAdmitted, OutOfService, QueueFull
from infrastructure.redis.link import RedisGone
from tenants.authentication.authenticator import AuthenticationUnavailable
from tenants.rate_limits.admission import Admission

log = logging.getLogger(__name__)
SIGNED_OUT, NOT_A_MEMBER, TENANT_CLOSED, TOO_MANY = 4401, 4403, 4423, 4429
AGAIN_LATER = 1013  # RFC 6455's registry
TOO_LONG = "context_length_exceeded"
_TEXTS: dict[str, Promise] = {
    "not_found": _("This conversation does not exist."),
    "model_not_found": _("You cannot use this model any more. Choose another one."),
    "busy": _("An answer is still being written here. Wait for it, or stop it."),
    "too_much": _("Too many actions at once on this connection."),
    "invalid_message": _("This message could not be understood."),
    "too_long": _("This message is too long. Shorten it, or send it in parts."),
    "out_of_service": _("The platform cannot take messages right now."),
    "internal_error": _("Something went wrong. The error has been logged."),
    TOO_LONG: _(
        "This is more text than the model's context can hold. Try again: fewer older messages are "
        "included then. Or shorten your message, or choose a model with a larger context."
    ),
    "nothing_to_continue": _("This answer has no text to go on from."),
    "not_offered": _("This model does not chat. Choose another one."),
    "engine_failed": _("The model broke off this answer."),
    "engine_unavailable": _("The model is not responding right now."),
    "queue_full": _("Too many messages are waiting for this model."),
    "server_overloaded": _("The model is overloaded right now."),
    "deadline_exceeded": _("This answer took too long and was ended."),
    "worker_lost": _("The server that wrote this answer failed."),
    "not_queued": _("The platform could not run this message. Send it again."),
    "not_recorded": _("This answer could not be recorded."),
    "aborted": _("This answer was not finished in time."),
    "lost": _("This message was not answered. Send it again."),
    "insufficient_scope": _("Your role does not include the chat."),
    "restricted": _("Your data is being erased or is restricted: nothing of it is processed."),
    "on_hold": _("A legal hold keeps this conversation: it cannot be deleted before that ends."),
    "too_many_folders": _("You have 100 folders, the most allowed. Delete one first."),
    "search_busy": _("Another search of yours still runs. Try again in a moment."),
    "export_busy": _("Another export of yours is still being made. Try again in a moment."),
    "sharing_off": _("Your tenant does not allow this kind of sharing, or the chat is temporary."),
    "too_many_shares": _("You share 100 conversations, the most allowed. End one first."),
    "too_long_for_pdf": _(
        "This conversation is too long for a PDF file. Export it as Markdown or JSON."
    ),
    "already_asked": _("Your request for more of this quota waits for a decision."),
    "no_amount": _("Say how much more, as a number."),
    "file_on_hold": _("A legal hold keeps this file: it cannot be removed before that ends."),
    "erased": _("This text has been erased."),
}
_USED_UP: dict[tuple[str, str], Promise] = {
    ("requests", "day"): _("The quota of %(limit)s requests per day is used up."),
    ("requests", "month"): _("The quota of %(limit)s requests per month is used up."),
    ("tokens", "day"): _("The quota of %(limit)s tokens per day is used up."),
    ("tokens", "month"): _("The quota of %(limit)s tokens per month is used up."),
    ("cost", "day"): _("The budget of %(limit)s per day is used up."),
    ("cost", "month"): _("The budget of %(limit)s per month is used up."),
    ("gpu_seconds", "day"): _("The quota of %(limit)s GPU seconds per day is used up."),
    ("gpu_seconds", "month"): _("The quota of %(limit)s GPU seconds per month is used up."),
}
_TOO_LITTLE_LEFT: dict[tuple[str, str], Promise] = {
    ("tokens", "day"): _(
        "%(left)s of %(limit)s tokens are left today: too few for this message and its answer."
    ),
    ("tokens", "month"): _(
        "%(left)s of %(limit)s tokens are left this month: too few for this message and its answer."
    ),
    ("cost", "day"): _(
        "%(left)s of the budget of %(limit)s are left today: too little for this message and its "
        "answer."
    ),
    ("cost", "month"): _(
        "%(left)s of the budget of %(limit)s are left this month: too little for this message and "
        "its answer."
    ),
}
_UNKNOWN = _("This answer failed.")
_AGAIN_S = 2
_AWAY = (OutOfService, AuthenticationUnavailable, DatabaseError, RedisGone, MasterKeyUnavailable)
SURELY_FITS = 0.6  # of the context's room: the estimate of tokens may be that far off
LEAST_CUT = 0.2  # of a message that was too long, though its estimate says that it fits
MICRO = 1_000_000  # costs are kept in millionths of the currency


class ChatRefused(Exception):
    """A page's request is refused. `code` is one of _TEXTS; `problem` says more than its text."""

    def __init__(self, code: str, problem: Problem | None = None) -> None:
        super().__init__(code)
        self.code, self.problem = code, problem


class Dismissed(Exception):
    """Signed out, or no longer a member who may chat. The socket closes with this code."""

    def __init__(self, close_code: int) -> None:
        super().__init__(close_code)
        self.close_code = close_code


def problem(code: str, retry_after: int = 0) -> Problem:
    return Problem(code, str(_TEXTS.get(code, _UNKNOWN)), retry_after)


def too_long(tokens: float, context: int, room: int) -> Problem:
    """Returns the problem of a question of about so many tokens. The engine alone counts them.

    If the question would fit alone, older messages are what is too much.
    """
    if tokens < room * SURELY_FITS:
        return problem(TOO_LONG)
    over = max(tokens - room, tokens * LEAST_CUT)
    numbers = {"tokens": _rounded(tokens), "context": f"{context:,}", "over": _rounded(over)}
    text = _(
        "Your message has about %(tokens)s tokens. The model's context holds %(context)s, with the "
        "answer. Shorten it by about %(over)s tokens (%(percent)d %%), send it in parts, or choose "
        "a model with a larger context."
    )
    return Problem(TOO_LONG, str(text) % {**numbers, "percent": round(100 * over / tokens)})


def _rounded(tokens: float) -> str:
    return f"{max(10, round(tokens, -2 if tokens >= 1000 else -1)):,.0f}"


def explained(failure: Exception) -> Problem:
    """Returns the problem of a failed message. What is nobody's refusal is logged."""
    match failure:
        case ChatRefused():
            return failure.problem or problem(failure.code)
        case NotAllowed():
            return problem(failure.code)
        case NotAdmitted():
            return not_admitted(failure)
        case EnginesPaused():
            return problem("engine_unavailable", failure.retry_after)
        case QueueFull():
            return problem("queue_full", failure.retry_after)
    if isinstance(failure, _AWAY):
        log.warning("cannot process a chat message: %r", failure)
        return problem("out_of_service", _AGAIN_S)
    log.error("chat message failed", exc_info=failure)
    return problem("internal_error")


def not_admitted(refused: NotAdmitted) -> Problem:
    admission, refusal_id = refused.admission, refused.refusal_id
    seconds = max(1, math.ceil(admission.frees_in_ms / 1000))
    if admission.tier == "quota":
        seconds = 0 if admission.never_fits else seconds
        text = _quota_text(admission)
        return Problem("insufficient_quota", text, seconds, refusal_id, refused.answer_tokens)
    text = _limit_text(admission.tier, admission.limit) % {"limit": admission.limit}
    return Problem("rate_limit_exceeded", text, seconds, refusal_id)


def _quota_text(admission: Admission) -> str:
    limit, remaining = admission.limit, max(0, admission.limit - admission.used)
    texts = _TOO_LITTLE_LEFT if remaining and admission.unit != "requests" else _USED_UP
    return str(texts[admission.unit, admission.window]) % {
        "limit": amount_text(limit, admission.unit),
        "left": amount_text(remaining, admission.unit),
    }


def amount_text(amount: int, unit: str) -> str:
    return f"{amount / MICRO:,.2f}" if unit == "cost" else f"{amount:,}"


def _limit_text(tier: str, limit: int) -> str:
    texts: dict[str, Promise | str] = {
        "ip": _("This address sent more than %(limit)d requests in a minute."),
        "rate": _("Your tenant's %(limit)d requests per minute are used up."),
        "tokens": _(
            "Your tenant's limit of %(limit)d tokens per minute has no room for this message now."
        ),
        "bytes": _("Your tenant has reached its limit of %(limit)d bytes of requests in flight."),
        "readers": _("Your tenant is already reading %(limit)d streams, the most allowed at once."),
        "stored": _("Your tenant's %(limit)d bytes stored per day are used up."),
        "concurrency": ngettext(
            "Your tenant has %(limit)d request running, the most allowed at once.",
            "Your tenant has %(limit)d requests running, the most allowed at once.",
            limit,
        ),
    }
    return str(texts[tier.removeprefix("key_")])  # people have no keys here
