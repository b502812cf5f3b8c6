"""Places new messages in a conversation's tree."""

from typing import NamedTuple
from uuid import UUID

from inference.chat import conversations
from inference.chat.answers import turns
from inference.chat.problems import ChatRefused
from inference.chat.protocol import Again, Send
from inference.models import Author, Conversation, Message
from tenants.models import Member

Request = Send | Again
MOST_PARTS = 50  # messages from a question on, of an answer that goes on again and again


class Placement(NamedTuple):
    """The branch that new messages follow, first to last; of a new answer, up to its question.

    `others` are the earlier answers to that question.
    """

    conversation: Conversation
    branch: list[UUID]
    others: list[UUID]

    @property
    def parent(self) -> UUID | None:
        return self.branch[-1] if self.branch else None


def placement(member: Member, request: Request, *, lock: bool = False) -> Placement | None:
    """Returns the placement; None for a new conversation. Raises ChatRefused.

    Locked, so that two tabs cannot ask in a conversation at the same time.
    """
    if isinstance(request, Again):
        conversation = _own(member, _conversation_of(member, request.answer), lock=lock)
        place = _of_answer(conversation, request)
    elif request.conversation is None:
        return None
    else:
        conversation = _own(member, request.conversation, lock=lock)
        place = Placement(conversation, _before_question(conversation, request), [])
    _refuse_if_busy(conversation)
    return place


def shown_branch(member: Member, conversation_id: UUID) -> Placement:
    """Returns the end of the shown branch. Raises ChatRefused."""
    conversation = _own(member, conversation_id)
    return Placement(conversation, conversation.tree().shown(conversation.leaf_id), [])


def _before_question(conversation: Conversation, send: Send) -> list[UUID]:
    tree = conversation.tree()
    if send.edits is None:
        return tree.shown(conversation.leaf_id)
    if not conversation.messages.filter(pk=send.edits, author=Author.USER).exists():
        raise ChatRefused("not_found")
    return tree.path(send.edits)[:-1]


def _of_answer(conversation: Conversation, again: Again) -> Placement:
    tree = conversation.tree()
    branch = tree.path(again.answer)
    rows = conversation.messages_of(branch[-MOST_PARTS:])
    if not any(map(_is_question, rows)):
        raise ChatRefused("nothing_to_continue")
    is_end = _has_text if again.continues else _is_question
    while not is_end(rows[-1]):
        rows.pop()
        branch.pop()
    if again.continues and _is_question(rows[-1]):
        raise ChatRefused("nothing_to_continue")
    return Placement(conversation, branch, [] if again.continues else tree.children(branch[-1]))


def _is_question(message: Message) -> bool:
    return message.author == Author.USER


def _has_text(message: Message) -> bool:
    """Returns whether an answer can go on from this message, or a question ends the search."""
    return _is_question(message) or bool(conversations.readable(message).text)


def _conversation_of(member: Member, answer: UUID) -> UUID:
    owned = Message.objects.filter(conversation__in=conversations.of_member(member))
    row = owned.filter(pk=answer, author=Author.ASSISTANT).first()
    if row is None:
        raise ChatRefused("not_found")
    return row.conversation_id


def _own(member: Member, conversation_id: UUID, *, lock: bool = False) -> Conversation:
    owned = conversations.of_member(member).filter(pk=conversation_id)
    conversation = (owned.select_for_update(of=("self",)) if lock else owned).first()
    if conversation is None:
        raise ChatRefused("not_found")
    return conversation


def _refuse_if_busy(conversation: Conversation) -> None:
    unanswered = conversation.messages.filter(ciphertext=None).select_related("conversation")
    if any(turn.streaming for turn in turns(unanswered)):
        raise ChatRefused("busy")
