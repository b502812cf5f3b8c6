"""Messages of a conversation as a page shows them: text, end, speed, and neighbours."""

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from msgspec import structs

from audit.keys.keyring import Unreadable
from inference.chat import prompt, recorded_text
from inference.chat.attachments.selection import shown_by_message
from inference.chat.conversations import readable, said_in
from inference.chat.problems import TOO_LONG, problem, too_long
from inference.chat.protocol import Figures, Part, Problem, Turn
from inference.engines import served
from inference.models import Author, Completion, Conversation, Message, Usage
from inference.reasoning import Said

NOTHING = Said("")
ON_ITS_WAY = timedelta(seconds=10)  # between an answer's row and its request's


def branch_turns(
    conversation: Conversation, end: UUID | None = None, newest: int = 0
) -> list[Turn]:
    """Returns the turns of the shown branch, or of the one that ends with `end`.

    An answer that was continued is one turn with its continuation.
    """
    tree = conversation.tree()
    ids = (tree.path(end) if end else tree.shown(conversation.leaf_id))[-newest:]
    shown: list[Turn] = []
    for turn in turns(conversation.messages_of(ids)):
        siblings = tree.siblings(turn.id)
        if turn.author == Author.ASSISTANT and shown and shown[-1].author == Author.ASSISTANT:
            shown.append(_continued(shown.pop(), turn))
        elif len(siblings) > 1:
            shown.append(structs.replace(turn, siblings=siblings, sibling=turn.id))
        else:
            shown.append(turn)
    return shown


def _continued(first: Turn, turn: Turn) -> Turn:
    """Returns the turn of a continuation, with the answer that it continues."""
    before, thought = first.text, first.reasoning
    if first.before:
        before, thought = first.before.text + before, first.before.reasoning + thought
    return structs.replace(
        turn,
        before=Part(before, thought),
        notice=first.notice or turn.notice,
        siblings=first.siblings,
        sibling=first.sibling,
    )


def turns(messages: Iterable[Message]) -> list[Turn]:
    """Returns turns, with three more queries for any number of messages."""
    rows = list(messages)
    unanswered = [m for m in rows if m.completion_id and m.ciphertext is None]
    ids = [message.completion_id for message in unanswered if message.completion_id]
    running = set(Completion.objects.open().filter(id__in=ids).values_list("id", flat=True))
    ended = [message for message in unanswered if message.completion_id not in running]
    for message in ended:
        message.refresh_from_db(fields=["ciphertext", "finish_reason"])  # settled in between?
    usage = Usage.objects.in_bulk([m.completion_id for m in rows if m.completion_id])
    for message in ended:
        if message.ciphertext is None and message.completion_id in usage:
            recorded_text.fill(message, usage[message.completion_id])
    files = shown_by_message(m.id for m in rows if m.author == Author.USER)
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
        notice=_notice(message),
        summary=message.is_summary,
        completion=message.completion_id,
        streaming=streaming,
        finish_reason="error" if error else message.finish_reason,
        figures=_figures(usage, words) if usage and message.author == Author.ASSISTANT else None,
        error=_problem(message, usage, error) if error else None,
        rating=message.rating or 0,
    )


def _problem(message: Message, usage: Usage | None, code: str) -> Problem:
    """Returns the problem; of a message that is too long, by how much."""
    engine = served().get(usage.model) if usage and code == TOO_LONG else None
    if engine is None or message.parent_id is None:
        return problem(code)
    before = Message.objects.filter(pk__in=[message.parent_id])
    question = before.select_related("conversation").first()
    if question is None:
        return problem(code)
    files = shown_by_message([question.id]).get(question.id, [])
    tokens = prompt.tokens(readable(question).text) + sum(file.tokens for file in files)
    return too_long(tokens, engine.context_length, prompt.room(engine.context_length))


def _notice(message: Message) -> str:
    if message.author != Author.ASSISTANT:
        return ""
    if message.is_summary:
        text = _("The next answers are based on this summary, no longer on the messages above it.")
        return f"{text} {_left_out(message.left_out)}" if message.left_out else text
    return _left_out(message.left_out) if message.left_out else ""


def _left_out(count: int) -> str:
    return ngettext(
        "The oldest message was left out: it does not fit into the model's context.",
        "The oldest %(count)d messages were left out: they do not fit into the model's context.",
        count,
    ) % {"count": count}


def _figures(usage: Usage, words: Said) -> Figures:
    milliseconds = usage.duration_ms - (usage.ttft_ms or 0)
    measured = usage.ttft_ms is not None and milliseconds > 0 and usage.completion_tokens > 1
    share = _reasoning_share(words)
    return Figures(
        usage.completion_tokens,
        usage.ttft_ms,
        round(1000 * usage.completion_tokens / milliseconds, 1) if measured else None,
        usage.pool if usage.pool != usage.model else "",
        usage.hosted,
        usage.prompt_tokens,
        round(usage.completion_tokens * share),
        round(milliseconds * share) if measured else 0,
    )


def _reasoning_share(words: Said) -> float:
    """Returns the reasoning's share of an answer's tokens. Engines count both together."""
    if not words.reasoning:
        return 0.0
    reasoning = prompt.tokens(words.reasoning)
    return reasoning / (reasoning + prompt.tokens(words.text))
