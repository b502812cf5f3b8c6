"""What comes from a page is checked before anything looks at it."""

from uuid import UUID, uuid4

import msgspec
import pytest

from inference.chat import protocol
from inference.chat.protocol import Delta, Follow, Ping, Send, Stop

pytestmark = pytest.mark.unit
ID = UUID("6f1c9f0e-8f53-4c1e-9d0f-0a3b7b0b8d11")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"type": "ping"}', Ping()),
        (f'{{"type": "stop", "message": "{ID}"}}', Stop(ID)),
        (f'{{"type": "follow", "message": "{ID}", "after": 7}}', Follow(ID, 7)),
        (
            f'{{"type": "send", "message": "{ID}", "text": "hi", "model": "m", "new": 1}}',
            Send("hi", "m", ID),
        ),
        (
            f'{{"type": "send", "message": "{ID}", "text": "", "model": "m", '
            f'"attachments": ["{ID}"]}}',
            Send("", "m", ID, attachments=[ID]),
        ),
        (  # a page has no say in its class of work (inference/intake/submission.py)
            f'{{"type": "send", "message": "{ID}", "text": "hi", "model": "m", "klass": "batch"}}',
            Send("hi", "m", ID),
        ),
    ],
)
def test_what_a_page_says(text: str, message: protocol.FromPage) -> None:
    assert protocol.read(text) == message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "{}",
        '{"type": "pong"}',
        '{"type": "stop"}',
        f'{{"type": "follow", "message": "{ID}", "after": 1.5}}',
        f'{{"type": "follow", "message": "{ID}", "after": {2**41}}}',
        f'{{"type": "send", "message": "{ID}", "text": ["hi"], "model": "m"}}',
        f'{{"type": "send", "message": "{ID}", "text": "", "model": "m"}}',
        "[" * 100_000,
        '{"type": "ping", "x": ' + "[" * 100_000,
        " " * (protocol.MAX_FRAME + 1),
    ],
)
def test_what_no_page_says(text: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        protocol.read(text)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (f'{{"type": "send", "message": "{ID}", "text": "\\ud800", "model": "m"}}', ID),
        (f'{{"text": "{"x" * protocol.MAX_FRAME}", "message":"{ID}"}}', ID),
        (msgspec.json.encode({"type": "send", "text": f'"message":"{ID}"'}).decode(), None),
        (f'{{"message": "{"-" * 36}"}}', None),
        ("nonsense", None),
    ],
)
def test_a_message_that_cannot_be_read_may_have_a_name(text: str, named: UUID | None) -> None:
    with pytest.raises(msgspec.DecodeError):
        protocol.read(text)
    assert protocol.named(text) == named


def test_the_longest_text_fits_into_a_frame() -> None:
    text = "长" * protocol.MAX_TEXT
    sent = msgspec.json.encode(Send(text, "m", uuid4())).decode()
    assert protocol.read(sent) == msgspec.json.decode(sent, type=Send)


def test_what_the_platform_says_names_its_type() -> None:
    said = protocol.written(Delta(ID, 3, ["a", "b", "c"]))
    assert msgspec.json.decode(said) == {
        "type": "delta",
        "message": str(ID),
        "event": 3,
        "pieces": ["a", "b", "c"],
    }
