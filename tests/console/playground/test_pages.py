"""The playground's page and its code, by role."""

from typing import Any

import pytest

from tenants.models import ApiKey, Member, User
from tests.console.conftest import SignIn

PAGE = "/console/t/acme/playground/"


def test_a_developer_has_models_and_code(bob: Member, sign_in: SignIn) -> None:
    page = sign_in(bob).get(PAGE).content.decode()
    for text in ("mock", "System prompt", "curl", "from openai import OpenAI", "new OpenAI"):
        assert text in page


def test_it_is_for_those_who_develop_and_chat(
    dave: Member, carol: Member, operator: User, sign_in: SignIn
) -> None:
    for who in (dave, carol, operator):
        assert sign_in(who).get(PAGE).status_code == 403


def test_the_code_is_of_what_is_on_screen(bob: Member, sign_in: SignIn) -> None:
    fields = {"system": "Be brief.", "prompt": "Why?", "temperature": "0.5", "model-1": "mock"}
    fields |= {"tools": '[{"type": "function"}]', "schema": '{"type": "object"}', "stop": "a\nb"}
    page = sign_in(bob).post(f"{PAGE}code/", fields).content.decode()
    for text in ("Be brief.", "Why?", "temperature=0.5", "&#x27;stop&#x27;", "json_schema"):
        assert text in page or text.replace("&#x27;", "&quot;") in page


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"tools": "{"}, "This is not JSON"),
        ({"tools": "{}"}, "Enter a list in JSON"),
        ({"tools": "[" * 600 + "]" * 600}, "more than 64 levels"),
        ({"schema": "[]"}, "Enter an object"),
        ({"stop": "1\n2\n3\n4\n5"}, "At most four."),
        ({"temperature": "3"}, "less than or equal to 2"),
        ({"prompt": ""}, "This field is required."),
    ],
)
def test_what_is_wrong_is_said_in_place_of_the_code(
    bob: Member, sign_in: SignIn, fields: dict[str, Any], said: str
) -> None:
    page = sign_in(bob).post(f"{PAGE}code/", {"prompt": "Why?", **fields}).content.decode()
    assert said in page
    assert "curl" not in page


def test_each_key_and_model_has_the_code(bob: Member, sign_in: SignIn) -> None:
    key, _ = ApiKey.issue(bob.tenant, "ci", by="test")
    client = sign_in(bob)
    for page in (f"/console/t/acme/keys/{key.pk}/", "/console/t/acme/models/"):
        text = client.get(page).content.decode()
        assert "from openai import OpenAI" in text
        assert "/playground/?model=" in text
