"""Reads what the model gets to know of a conversation from its record."""

from typing import NamedTuple
from uuid import UUID

from audit.keys.keyring import Unreadable
from inference.chat import conversations, prompt
from inference.chat.attachments import sent
from inference.chat.attachments.composing import composed
from inference.chat.attachments.selection import contents_by_message
from inference.chat.content import Content
from inference.chat.placement import Placement, Request, placement, shown_branch
from inference.chat.presets.settings import NO_SETTINGS, check, settings_of
from inference.chat.problems import TOO_LONG, ChatRefused
from inference.chat.prompt import Earlier
from inference.chat.protocol import Again, Send
from inference.intake.access.allowed import behind
from inference.models import Attachment, Author, Message, Usage
from tenants.models import Member

MAX_HISTORY = 200  # messages that are considered for the prompt
CONTINUE = (
    "Your last answer was cut off. Go on exactly where it ended, in the same language. Begin with "
    "the next character: repeat nothing, and add no remark about it."
)


class Inquiry(NamedTuple):
    """The question of a request, with the messages before it."""

    earlier: Earlier
    question: Content
    conversation: UUID | None = None  # None: a new one


def inquiry(member: Member, request: Request) -> Inquiry:
    """Returns the inquiry. Raises ChatRefused."""
    place = placement(member, request)
    if place is None:
        assert not isinstance(request, Again)
        settings = request.settings or NO_SETTINGS
        check(settings)  # before the request is on record
        return Inquiry(Earlier(settings=settings), _sent(member, request))
    rows, older = _rows(place)
    question = _question(member, request, rows)
    earlier = _earlier(rows, place, behind(member.tenant_id, request.model), older)
    return Inquiry(earlier, question, place.conversation.id)


def so_far(member: Member, conversation_id: UUID, model: str) -> Earlier:
    """Returns the shown branch as a model gets it. Raises ChatRefused."""
    place = shown_branch(member, conversation_id)
    rows, older = _rows(place)
    return _earlier(rows, place, behind(member.tenant_id, model), older)


def _rows(place: Placement) -> tuple[list[Message], int]:
    """Returns the newest messages, from a summary on, and the number of older ones."""
    rows = place.conversation.messages_of(place.branch[-MAX_HISTORY:])
    for index in range(len(rows) - 1, 0, -1):
        if _is_summary(rows[index]):
            return rows[index - 1 :], 0
    return rows, len(place.branch) - len(rows)


def _is_summary(row: Message) -> bool:
    written = row.is_summary and row.author == Author.ASSISTANT
    return written and bool(conversations.readable(row).text)


def _question(member: Member, request: Request, rows: list[Message]) -> Content:
    """Returns the question, and takes it from the messages if it is one. Raises ChatRefused."""
    if not isinstance(request, Again):
        return _sent(member, request)
    if request.continues:
        return CONTINUE
    question = rows.pop()
    message = _message(question, contents_by_message([question]).get(question.id, []))
    if message is None:
        raise ChatRefused("erased")
    content: Content = message["content"]
    return content


def _sent(member: Member, send: Send) -> Content:
    return composed(send.text, sent.named(member, send.attachments))


def _usage(rows: list[Message], others: list[UUID]) -> dict[UUID, Usage]:
    """Returns the usage of each answer, by its message."""
    answers = {row.id: row.completion_id for row in rows if row.completion_id}
    repeated = Message.objects.filter(pk__in=others).exclude(completion_id=None)
    answers |= {row.id: row.completion_id for row in repeated if row.completion_id}
    usage = Usage.objects.in_bulk(list(answers.values()))
    return {pk: usage[completion] for pk, completion in answers.items() if completion in usage}


def _earlier(rows: list[Message], place: Placement, model: str, older: int) -> Earlier:
    usage, files = _usage(rows, place.others), contents_by_message(rows)
    settings = settings_of(place.conversation)
    messages, dropped, scale, too_long = list[prompt.Message](), older, 1.0, 0
    for row, following in zip(rows, [*rows[1:], None], strict=False):
        end = usage.get(row.id)
        if _was_too_long(end):
            too_long += 1
        elif end and _counts(row, end, model):
            count = max(1, len(messages) + dropped - row.left_out)  # messages of that prompt
            read = [*prompt.system_messages(settings), *messages[-count:]]
            scale, too_long = prompt.scale(read, end.prompt_tokens), 0
        if following and _was_too_long(usage.get(following.id)):
            dropped += 1
        elif message := _message(row, files.get(row.id, [])):
            _add(messages, message)
    too_long += sum(_was_too_long(usage.get(other)) for other in place.others)
    return Earlier(messages, dropped, scale, too_long, settings)


def _counts(row: Message, end: Usage, model: str) -> bool:
    """Returns whether the engine's count corrects the estimate. A summary has read other texts."""
    if end.error_code or not end.prompt_tokens or row.is_summary:
        return False
    return end.public_model == model


def _was_too_long(end: Usage | None) -> bool:
    return bool(end and end.error_code == TOO_LONG)


def _add(messages: list[prompt.Message], message: prompt.Message) -> None:
    """Add a message. An answer that goes on becomes one with what it continues."""
    if messages and messages[-1]["role"] == message["role"] == Author.ASSISTANT:
        text = messages[-1]["content"] + message["content"]
        messages[-1] = {"role": message["role"], "content": text}
    else:
        messages.append(message)


def _message(message: Message, files: list[Attachment]) -> prompt.Message | None:
    """Returns the message without its reasoning, which models are not shown."""
    text = conversations.readable(message).text
    if not text and not files:
        return None
    try:
        return {"role": message.author, "content": composed(text, files)}
    except Unreadable:
        return None
