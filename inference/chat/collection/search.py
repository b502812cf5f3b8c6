"""Searches a member's own conversations by decrypting them one by one: there is no index.

An index of words or of their hashes would tell, at rest, which texts have something in common. One
person's conversations are few: a search reads the newest first, and goes on where it stopped.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from audit.keys.keyring import Unreadable
from inference.chat import conversations
from inference.chat.conversations import said_in, title_of
from inference.chat.listed import listed
from inference.chat.protocol import Listed
from inference.models import Conversation, Message
from infrastructure.postgres.queries import lock_within
from tenants.models import Member

SHORTEST, LONGEST = 2, 200  # characters of the words
MOST_HITS = 30
MOST_TEXTS = 5_000
MOST_BYTES = 32 * 1024 * 1024
MOST_S = 2.0
WAIT_S = 3.0  # for another search of the same person
AT_ONCE, MESSAGES = 25, 50  # conversations and messages in memory
AROUND = 50


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The words in a text with their surroundings. `message` is None for a title."""

    message: UUID | None
    before: str
    words: str
    after: str


@dataclass(frozen=True, slots=True)
class Hit:
    conversation: Listed
    excerpt: Excerpt


@dataclass(slots=True)
class SearchPage:
    """Conversations with the words, newest first. With `next` the search can go on from there."""

    hits: list[Hit] = field(default_factory=list)
    next: datetime | None = None


class SearchBusy(Exception):
    """Another search of this person runs for longer than a search may wait."""


class Words:
    """The words of a search. All of them must be in one text, in any order and case."""

    def __init__(self, text: str) -> None:
        self._needles = list(dict.fromkeys(text[:LONGEST].casefold().split()))
        self.are_enough = len("".join(self._needles)) >= SHORTEST

    def excerpt(self, text: str, message: UUID | None = None) -> Excerpt | None:
        """Returns the surroundings of the first word, or None.

        Case folding may change the length of a text; the excerpt is then only near the word.
        """
        folded = text.casefold()
        if not all(needle in folded for needle in self._needles):
            return None
        at = folded.find(self._needles[0])
        end = at + len(self._needles[0])
        before, after = text[max(0, at - AROUND) : at], text[end : end + AROUND]
        return Excerpt(message, before, text[at:end], after)


def search(member: Member, text: str, before: datetime | None = None) -> SearchPage:
    """Search titles and messages of all branches, also in the archive. Needs a transaction.

    One at a time of a person: each keeps a processor busy. Raises SearchBusy.
    """
    words, page = Words(text), SearchPage()
    if not words.are_enough:
        return page
    if not lock_within(f"chat search:{member.user_id}", WAIT_S):
        raise SearchBusy
    limit = _Limit()
    for conversation, messages in _texts(member, before):
        if len(page.hits) >= MOST_HITS or limit.is_reached:
            page.next = before
            break
        before = conversation.updated_at
        if excerpt := _excerpt(words, conversation, messages, limit):
            page.hits.append(Hit(listed(conversation), excerpt))
    return page


class _Texts(NamedTuple):
    conversation: Conversation
    messages: Iterator[Message]  # read some at a time: a conversation may have some hundred MB


def _texts(member: Member, before: datetime | None) -> Iterator[_Texts]:
    """Yields conversations with their messages, newest first."""
    owned = conversations.of_member(member).filter(temporary=False)
    while True:
        rows = list((owned.filter(updated_at__lt=before) if before else owned)[:AT_ONCE])
        for row in rows:
            messages = row.messages.exclude(ciphertext=None).order_by("created_at")
            yield _Texts(row, messages.iterator(MESSAGES))
        if len(rows) < AT_ONCE:
            return
        before = rows[-1].updated_at


def _excerpt(
    words: Words, conversation: Conversation, messages: Iterator[Message], limit: "_Limit"
) -> Excerpt | None:
    if excerpt := words.excerpt(title_of(conversation)):
        return excerpt
    for message in messages:
        message.conversation = conversation
        limit.count(message)
        if excerpt := words.excerpt(_text(message), message.pk):
            return excerpt
    return None


def _text(message: Message) -> str:
    try:
        return said_in(message).text
    except Unreadable:
        return ""


class _Limit:
    """The most texts, bytes and seconds of a search; it ends with a whole conversation."""

    def __init__(self) -> None:
        self._texts, self._bytes = MOST_TEXTS, MOST_BYTES
        self._until = time.monotonic() + MOST_S

    def count(self, message: Message) -> None:
        self._texts -= 1
        self._bytes -= len(message.ciphertext or b"")

    @property
    def is_reached(self) -> bool:
        return self._texts <= 0 or self._bytes <= 0 or time.monotonic() > self._until
