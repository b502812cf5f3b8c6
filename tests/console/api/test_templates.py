"""Prompt templates over the management API."""

from typing import Any

import pytest

from audit.models import Event
from inference.models import PromptTemplate
from tenants.models import Member, Tenant
from tests.console.api.conftest import Api, Enter, errors

pytestmark = pytest.mark.django_db
LIST = "tenants/acme/templates/"
MESSAGES = [{"role": "user", "content": "Greet {{who}}, {{n}} times."}]
VARIABLES = [{"name": "who"}, {"name": "n", "type": "integer", "default": 2}]


@pytest.fixture
def api(acme: Tenant, with_key: Enter) -> Api:
    return with_key(acme, ["management:read", "management:write"])


def written(api: Api, **more: Any) -> str:
    """Its path."""
    body = {"name": "greeting", "messages": MESSAGES, "variables": VARIABLES, **more}
    answer = api.post(LIST, **body)
    assert answer.status_code == 201, answer.content
    return str(answer.headers["Location"])


def test_it_is_written_read_and_filled(api: Api) -> None:
    path = written(api)
    (line,) = api.get(LIST).json()["results"]
    assert (line["name"], line["latest"]) == ("greeting", 1)
    version = api.get(f"{path}versions/1/").json()
    assert version["messages"] == MESSAGES
    assert version["variables"] == [
        {"name": "who", "type": "string", "default": None, "max_length": None},
        {"name": "n", "type": "integer", "default": 2, "max_length": None},
    ]
    filled = api.post(f"{path}fill/", variables={"who": "Al"})
    assert filled.json()["messages"] == [{"role": "user", "content": "Greet Al, 2 times."}]
    assert errors(api.post(f"{path}fill/", variables={"who": 1})).keys() == {"variables.who"}
    assert errors(api.post(f"{path}fill/", version=2)).keys() == {"version"}


def test_a_change_is_a_version_for_who_knows_the_latest(api: Api) -> None:
    path = written(api)
    read = api.get(path).headers["ETag"]
    said = [{"role": "user", "content": "Hug {{who}} {{n}} times."}]
    assert api.patch(path, messages=said).json()["latest"] == 2
    assert api.patch(path, read, messages=said).status_code == 412
    assert api.patch(path, "", messages=said).status_code == 428
    assert api.get(f"{path}versions/2/").json()["variables"][1]["default"] == 2
    assert [v["number"] for v in api.get(f"{path}versions/").json()["results"]] == [1, 2]
    shorter = api.patch(path, messages=[{"role": "user", "content": "Hug."}], variables=[])
    assert shorter.json()["latest"] == 3
    details = Event.objects.filter(action="template:publish").order_by("id")
    assert [each.detail["version"] for each in details] == [1, 2, 3]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": "No Name"}, "name"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": "x", "name": "y"}]}, "messages.0.name"),
        ({"messages": None}, "messages"),
        ({"prompt": "{{who}} {{n}}"}, "messages"),
        ({"variables": [{"type": "string"}]}, "variables.0.name"),
        ({"variables": [{"name": "who", "default": ["x"]}]}, "variables.0.default"),
        ({"variables": [{"name": "who"}]}, "messages"),
        ({"variables": [*VARIABLES, {"name": "more"}]}, "variables"),
    ],
)
def test_what_is_wrong_is_named(api: Api, wrong: dict[str, Any], field: str) -> None:
    body = {"name": "greeting", "messages": MESSAGES, "variables": VARIABLES, **wrong}
    answer = api.post(LIST, **body)
    assert (answer.status_code, set(errors(answer))) == (400, {field})
    path = written(api)
    if field != "name" and wrong.keys() != {"prompt"} and wrong != {"messages": None}:
        assert set(errors(api.patch(path, **wrong))) == {field}


def test_a_name_is_taken_once_in_a_tenant(api: Api, globex: Tenant, with_key: Enter) -> None:
    written(api)
    assert api.post(LIST, name="greeting", prompt="x").json()["type"].endswith("name_taken")
    other = with_key(globex)
    made = other.post("tenants/globex/templates/", name="greeting", prompt="x")
    assert made.status_code == 201
    theirs = made.json()["id"]
    assert api.get(f"{LIST}{theirs}/").status_code == 404
    assert api.get(f"{LIST}{theirs}/versions/1/").status_code == 404


def test_it_is_removed_with_its_versions(api: Api) -> None:
    path = written(api)
    assert api.delete(path).status_code == 204
    assert not PromptTemplate.objects.exists()
    assert api.get(f"{path}versions/1/").status_code == 404


def test_operators_do_not_read_them(api: Api, enter: Enter, operator: Any, carol: Member) -> None:
    path = written(api)
    assert enter(operator).get(path).status_code == 403
    assert enter(carol).get(path).status_code == 200
    assert enter(carol).post(LIST, name="x", prompt="x").status_code == 403
