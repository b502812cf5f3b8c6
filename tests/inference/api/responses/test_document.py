"""The document of `/v1` has each field of a response."""

from uuid import uuid4

import jsonschema
import orjson
import pytest

from config.http.document import Document
from config.http.front_ends import ROUTERS
from inference.api.responses.output import COMPLETED, FAILED, Shape, message, text_part
from inference.api.responses.requests import head_of

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("status", [COMPLETED, FAILED])
def test_it_has_what_a_response_has_and_no_other_field(status: str) -> None:
    components = orjson.loads(Document(ROUTERS).texts["/v1/openapi.json"])["components"]
    schema = components["schemas"]["Response"]
    shape = Shape(uuid4(), 1, head_of("small"))
    item = message(shape.item_id("msg", 0), COMPLETED, text_part("Hello"))
    response = orjson.loads(orjson.dumps(shape.response(status, output=[item])))
    assert response.keys() == schema["properties"].keys()
    jsonschema.validate(response, schema)
