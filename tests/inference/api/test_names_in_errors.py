"""Errors of the checks of a chat name the fields that its client has sent."""

import orjson
import pytest

from inference.api.anthropic import errors
from inference.api.responses.requests import own_names
from inference.errors import BadRequest, must_be

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("tools[2].function.name", "tools[2].name"),
        ("tools[0].function.parameters.type", "tools[0].parameters.type"),
        ("max_tokens", "max_output_tokens"),
        ("temperature", "temperature"),
    ],
)
def test_of_responses(ours: str, theirs: str) -> None:
    with pytest.raises(BadRequest) as caught, own_names():
        raise must_be(ours, "right")
    assert (caught.value.param, caught.value.message) == (theirs, f"`{theirs}` must be right")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("tools[2].function.name", "tools[2].name"),
        ("tools[0].function.parameters.type", "tools[0].input_schema.type"),
        ("response_format.json_schema.schema", "output_config.format.schema"),
        ("reasoning_effort", "output_config.effort"),
        ("temperature", "temperature"),
    ],
)
def test_of_messages(ours: str, theirs: str) -> None:
    error = orjson.loads(errors.body(must_be(ours, "right")))["error"]
    assert (error["param"], error["message"]) == (theirs, f"`{theirs}` must be right")
