"""The base of all kinds of notice targets."""

from datetime import datetime

import orjson

from infrastructure.webhooks.posting import Answer, Post
from tenants.models import NoticeTarget
from tenants.notices.wording import Message

TIMEOUT_S = 10.0


class Kind:
    """A kind of target: the request that tells it, and how its answer is read."""

    def post(self, message: Message, target: NoticeTarget, at: datetime) -> Post:
        raise NotImplementedError

    def refusal(self, answer: Answer) -> str:
        """Returns why a 2xx answer is none, "" if the notice was taken."""
        return ""


def json_post(url: str, content: object, headers: dict[str, str] | None = None) -> Post:
    return Post(url, orjson.dumps(content), headers or {}, TIMEOUT_S)


def lines(message: Message) -> str:
    """Returns the notice as the plain text that robots of chat services take."""
    return f"{message.title}\n{message.text}\n{message.url}"


def code_refusal(answer: Answer, name: str) -> str:
    """Returns why a robot refused: with 200, and a number other than 0 in its JSON."""
    try:
        content = orjson.loads(answer.body or b"")
    except orjson.JSONDecodeError:
        return "wrong_answer"
    code = content.get(name) if isinstance(content, dict) else None
    return "" if code == 0 else f"refused_{code}" if isinstance(code, int) else "wrong_answer"
