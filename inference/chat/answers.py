"""Messages of a conversation as a page shows them: text, end, and speed."""

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from django.utils import timezone
from django.utils.translation import ngettext
from msgspec import structs

from audit.keys.keyring import Unreadable
from inference.chat.attachments.selection import shown_by_message
from inference.chat.conversations import said_in
from inference.chat.problems import problem
from inference.chat.protocol import Figures, Turn
from inference.models import Author, Completion, Message, Usage
from inference.reasoning import Said

NOTHING = Said("")
ON_ITS_WAY = timedelta(seconds=10)  # between an answer's row and its request's


def turns(messages: Iterable[Message]) -> list[Turn]:
    """Returns turns, with three more queries for any number of messages."""
    rows = list(messages)
    unanswered = [m.completion_id for m in rows if m.completion_id and m.ciphertext is None]
    running = set(Completion.objects.open().filter(id__in=unanswered).values_list("id", flat=True))
    for message in rows:
        if message.ciphertext is None and message.completion_id not in running:
            message.refresh_from_db(fields=["ciphertext", "finish_reason"])  # settled in between?
    usage = Usage.objects.in_bulk([m.completion_id for m in rows if m.completion_id])
    files = shown_by_message(m for m in rows if m.author == Author.USER)
    shown = [_turn(m, usage.get(m.completion_id), running) for m in rows]
    return [structs.replace(turn, attachments=files.get(turn.id, [])) for turn in shown]


def turn(message: Message) -> Turn:
    return turns([message])[0]


def _turn(message: Message, usage: Usage | None, running: set[UUID]) -> Turn:
    if message.ciphertext is None and _is_running(message, usage, running):
        return _shown(message, streaming=True)
    if message.ciphertext is None:
        return _shown(message, error="lost")
    try:
        words = said_in(message)
    except Unreadable:
        return _shown(message, error="erased")
    return _shown(message, words, usage=usage, error=usage.error_code if usage else "")


def _is_running(message: Message, usage: Usage | None, running: set[UUID]) -> bool:
    if message.completion_id in running:
        return True
    return usage is None and timezone.now() - message.created_at < ON_ITS_WAY


def _shown(
    message: Message,
    words: Said = NOTHING,
    *,
    streaming: bool = False,
    usage: Usage | None = None,
    error: str = "",
) -> Turn:
    return Turn(
        id=message.id,
        author=message.author,
        text=words.text,
        reasoning=words.reasoning,
        notice=_left_out(message.left_out) if message.left_out else "",
        completion=message.completion_id,
        streaming=streaming,
        finish_reason="error" if error else message.finish_reason,
        figures=_figures(usage) if usage and message.author == Author.ASSISTANT else None,
        error=problem(error) if error else None,
        rating=message.rating or 0,
    )


def _left_out(count: int) -> str:
    return ngettext(
        "The oldest message was left out: it does not fit into the model's context.",
        "The oldest %(count)d messages were left out: they do not fit into the model's context.",
        count,
    ) % {"count": count}


def _figures(usage: Usage) -> Figures:
    seconds = (usage.duration_ms - (usage.ttft_ms or 0)) / 1000
    measured = usage.ttft_ms is not None and seconds > 0 and usage.completion_tokens > 1
    speed = round(usage.completion_tokens / seconds, 1) if measured else None
    pool = usage.pool if usage.pool != usage.model else ""
    return Figures(usage.completion_tokens, usage.ttft_ms, speed, pool, usage.hosted)
