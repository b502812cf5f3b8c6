"""Forms of a request body, and the checks that come before all others."""

from enum import Enum, auto

from inference.engines.base import Engine
from inference.validation import requests
from inference.validation.schemas import Body


class Form(Enum):
    CHAT = auto()  # of POST /v1/chat/completions
    TEXT = auto()  # of POST /v1/completions
    PLAIN = auto()  # the plain call: prompt, max_tokens, temperature, stop_words


def checked(body: Body, length: int, form: Form, engine: Engine) -> Body:
    """Check a body and return it in OpenAI's form. Raises BadRequest.

    `length` is the number of bytes that arrived.
    """
    requests.check_length(length, body, engine)
    match form:
        case Form.CHAT:
            requests.check_chat(body, engine)
        case Form.TEXT:
            requests.check_completion(body, engine)
        case Form.PLAIN:
            return requests.plain_call(body, engine)
    return body
