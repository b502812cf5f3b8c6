"""The forms in which a body comes, and all that is checked of one before anything else."""

from enum import Enum, auto

from inference.engines.base import Engine
from inference.validation import requests
from inference.validation.schemas import Body


class Form(Enum):
    CHAT = auto()  # of POST /v1/chat/completions
    TEXT = auto()  # of POST /v1/completions
    PLAIN = auto()  # the plain call: prompt, max_tokens, temperature, stop_words


def checked(body: Body, length: int, form: Form, engine: Engine) -> Body:
    """In OpenAI's form. `length`: its bytes, as it came. Raises BadRequest."""
    requests.check_length(length, body, engine)
    match form:
        case Form.CHAT:
            requests.check_chat(body, engine)
        case Form.TEXT:
            requests.check_completion(body, engine)
        case Form.PLAIN:
            return requests.plain_call(body, engine)
    return body
