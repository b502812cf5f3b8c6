"""The chat socket's messages, both ways: small JSON objects with a `type`.

Event numbers count over a whole answer, so a reader that names its last one gets the rest, without
a gap or a double, over any number of connections.
"""

import re
from typing import Annotated
from uuid import UUID

import msgspec

MAX_TEXT = 60_000  # characters of one message
MAX_FRAME = 256 * 1024  # bytes, or characters of a text frame

Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
Tokens = Annotated[int, msgspec.Meta(ge=1, le=2**31)]
Number = Annotated[int, msgspec.Meta(ge=0, le=2**40)]


class ChatSettings(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Settings of a conversation. What is left out is the model's own default."""

    system: str = ""
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: list[str] = []
    reasoning_effort: str = ""


# From the page -----------------------------------------------------------------------------------
class Send(msgspec.Struct, frozen=True, tag="send"):
    """`message` is the page's own id for it: sent twice after a lost connection, it counts once.

    The text may be empty if there are attachments.
    """

    text: Text
    model: Annotated[str, msgspec.Meta(max_length=120)]
    message: UUID
    conversation: UUID | None = None  # None starts one
    max_tokens: Tokens | None = None  # of a shorter answer
    edits: UUID | None = None  # the question beside which it stands
    temporary: bool = False  # starts a chat that is deleted when the person leaves it
    attachments: Annotated[list[UUID], msgspec.Meta(max_length=50)] = []
    summary: bool = False  # its answer stands in for the messages before it in later prompts
    settings: ChatSettings | None = None  # of a conversation that it starts

    def __post_init__(self) -> None:
        if not self.text and not self.attachments:
            raise ValueError("a message has a text, or attachments")


class Again(msgspec.Struct, frozen=True, tag="again"):
    """Answers a question once more, or goes on with an answer (`continues`).

    `message` is the page's own id for the new answer: sent twice, it counts once.
    """

    message: UUID
    answer: UUID  # whose question is answered again, or that goes on
    model: Annotated[str, msgspec.Meta(max_length=120)]
    continues: bool = False
    max_tokens: Tokens | None = None


class Follow(msgspec.Struct, frozen=True, tag="follow"):
    message: UUID
    after: Number = 0


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    message: UUID


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    pass


# From the platform -------------------------------------------------------------------------------
class Problem(msgspec.Struct, frozen=True):
    code: str
    text: str
    retry_after: int = 0  # seconds; 0: no use
    refusal_id: str = ""  # of a limit or a quota, to be looked up in the console
    answer_tokens: int = 0  # of a shorter answer that fits the quota; 0: no use


class Figures(msgspec.Struct, frozen=True):
    tokens: int
    ttft_ms: int | None
    tokens_per_second: float | None
    pool: str = ""  # the serving pool, unless it is named as its model
    hosted: bool = False  # its prompt left this installation
    prompt_tokens: int = 0
    reasoning_tokens: int = 0  # about so many of `tokens`
    reasoning_ms: int = 0  # about


class Part(msgspec.Struct, frozen=True):
    """The text of an answer before it was continued."""

    text: str
    reasoning: str = ""


class Attached(msgspec.Struct, frozen=True):
    """A file of a question. `tokens` are estimated; `url` shows what a model gets of it."""

    id: UUID
    name: str
    kind: str  # text, pdf, docx or image
    size: int  # bytes
    pages: int
    tokens: int
    url: str


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """A message as a page shows it."""

    id: UUID
    author: str
    text: str
    reasoning: str = ""  # before an answer
    notice: str = ""  # a note for the reader, such as left out messages
    completion: UUID | None = None
    streaming: bool = False
    finish_reason: str = ""
    figures: Figures | None = None
    error: Problem | None = None
    rating: int = 0  # of an answer: 1 or -1
    attachments: list[Attached] = []  # of a question
    summary: bool = False  # later prompts begin with it
    before: Part | None = None  # an answer goes on from here: both are shown as one
    siblings: list[UUID] = []  # messages in the same place, with itself, if there are several
    sibling: UUID | None = None  # the one of them that is shown: itself, or what it continues


class Listed(msgspec.Struct, frozen=True):
    """A conversation in the list."""

    id: UUID
    title: str
    model: str
    updated_at: str
    url: str
    pinned: bool = False
    archived: bool = False
    folder: UUID | None = None
    temporary: bool = False


class Started(msgspec.Struct, frozen=True, tag="started"):
    conversation: Listed
    question: Turn
    answer: Turn


class Waiting(msgspec.Struct, frozen=True, tag="waiting"):
    """An answer has not begun. `before` counts requests before it, `seconds` is 0 if unknown."""

    message: UUID
    before: int
    seconds: int


class Delta(msgspec.Struct, frozen=True, tag="delta", omit_defaults=True):
    """`event` is the number of the last piece. `reasoning` has as many pieces, or none at all."""

    message: UUID
    event: int
    pieces: list[str]
    reasoning: list[str] = []


class Whole(msgspec.Struct, frozen=True, tag="text"):
    """The stored text, instead of pieces that have expired."""

    message: UUID
    text: str
    reasoning: str = ""


class End(msgspec.Struct, frozen=True, tag="end"):
    """The end of an answer. `upstream` is the pool and the engine, while its events are stored."""

    message: UUID
    finish_reason: str
    figures: Figures | None = None
    error: Problem | None = None
    upstream: str = ""


class Failed(Problem, frozen=True, tag="error"):
    """A request of the page has failed. `message` is the one that it was about."""

    message: UUID | None = None


class Changed(msgspec.Struct, frozen=True, tag="chat.changed"):
    """A conversation changed in another tab: read it again."""

    conversation: UUID


class Pong(msgspec.Struct, frozen=True, tag="pong"):
    pass


FromPage = Send | Again | Follow | Stop | Ping
ToPage = Started | Waiting | Delta | Whole | End | Failed | Changed | Pong

# A text in JSON has its quotation marks behind backslashes, so none looks like the field.
_NAMED = re.compile(r'"message":\s*"([0-9a-f-]{36})"')
_decoder = msgspec.json.Decoder(FromPage)
_encoder = msgspec.json.Encoder()


def read(text: str) -> FromPage:
    """Parse a message. Raises msgspec.DecodeError, also if it is too long, or too deep."""
    if len(text) > MAX_FRAME:
        raise msgspec.DecodeError(f"a message has a length <= {MAX_FRAME}")
    try:
        message: FromPage = _decoder.decode(text)
    except RecursionError:
        raise msgspec.DecodeError("a message is nested too deeply") from None
    return message


def named(text: str) -> UUID | None:
    """Returns the id that a message names which could not be read; None without one."""
    field = _NAMED.search(text)
    try:
        return UUID(field[1]) if field else None
    except ValueError:
        return None


def written(message: ToPage) -> str:
    return _encoder.encode(message).decode()
