"""Task sets, evaluations and gates over the management API."""

import json
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from inference.models import Evaluation, TaskSet
from tenants.models import Tenant, User
from tests.console.api.conftest import Api, Enter, errors
from tests.console.evaluations.reported import reported

pytestmark = pytest.mark.django_db
T = "tenants/acme/"
LINE = json.dumps({"prompt": "Capital of France:", "choices": ["Paris", "Rome"], "answer": 0})
BODY: dict[str, Any] = {"name": "capitals", "kind": "choices", "content": LINE}


@pytest.fixture
def api(acme: Tenant, with_key: Enter) -> Api:
    return with_key(acme, ["inference", "management:read", "management:write"])


def test_the_same_content_is_the_same_version(api: Api) -> None:
    first = api.post(f"{T}task-sets/", **BODY).json()
    again = api.post(f"{T}task-sets/", **BODY).json()
    assert (first["id"], first["version"]) == (again["id"], 1)
    more = api.post(f"{T}task-sets/", **{**BODY, "options": {"separator": ""}}).json()
    assert (more["version"], more["options"]["separator"]) == (2, "")
    assert more["sha256"] != first["sha256"]
    (row,) = api.get(f"{T}task-sets/", sha256=first["sha256"]).json()["results"]
    assert row["test_items"] == 1
    assert "Paris" not in json.dumps(row)


def test_wrong_lines_and_names_are_refused(api: Api, settings: Settings) -> None:
    content = f"{LINE}\n{{}}\nnothing"
    wrong = errors(api.post(f"{T}task-sets/", **{**BODY, "content": content}))
    assert [text.partition(":")[0] for text in wrong["content"]] == ["Line 2", "Line 3"]
    assert api.post(f"{T}task-sets/", **{**BODY, "name": "our-mmlu"}).status_code == 400
    assert api.post(f"{T}task-sets/", **{**BODY, "options": {"windows": 3}}).status_code == 400
    known = api.post(f"{T}task-sets/", **BODY).json()["sha256"]
    settings.BENCHMARKS = {"mmlu": known}
    assert api.post(f"{T}task-sets/", **{**BODY, "name": "our-mmlu"}).status_code == 201


def test_an_evaluation_is_the_keys_own(api: Api, acme: Tenant) -> None:
    task_set = api.post(f"{T}task-sets/", **BODY).json()["id"]
    answer = api.post(f"{T}evaluations/", task_set=task_set, model="mock", against="other")
    assert answer.status_code == 201, answer.content
    row = Evaluation.objects.get(pk=answer.json()["id"])
    assert row.api_key
    assert row.created_by == row.api_key.actor
    assert errors(api.post(f"{T}evaluations/", task_set=task_set, model="a", against="a"))
    nothing = api.post(f"{T}evaluations/", task_set=str(row.pk), model="a")
    assert errors(nothing).keys() == {"task_set"}
    path = f"{T}evaluations/{row.pk}/"
    assert api.get(f"{path}report/").status_code == 404
    assert api.delete(path).status_code == 400
    assert api.post(f"{path}cancel/").json()["state"] == "cancelled"
    assert api.delete(path).status_code == 204


def test_a_report_is_sent_as_json_and_html(api: Api, acme: Tenant) -> None:
    row = reported(acme)
    path = f"{T}evaluations/{row.pk}/"
    assert api.get(path).json()["report"]["figures"][0]["candidate"]["value"] == 0.9
    assert json.loads(api.get(f"{path}report/").content)["format"] == "forebay-evaluation/1"
    page = api.get(f"{path}report/", form="html").content.decode()
    assert page.startswith("<!doctype html>")
    assert api.get(f"{path}report/", form="pdf").status_code == 400


def test_a_report_outlives_its_task_set(api: Api, acme: Tenant) -> None:
    row = reported(acme)
    assert api.delete(f"{T}task-sets/{row.task_set_id}/").status_code == 204
    assert TaskSet.objects.count() == 0
    shown = api.get(f"{T}evaluations/{row.pk}/").json()
    assert (shown["task_set"], shown["sha256"]) == (None, row.sha256)
    assert shown["report"]["figures"]


def test_another_tenants_key_gets_nothing(acme: Tenant, globex: Tenant, with_key: Enter) -> None:
    row = reported(acme)
    stranger = with_key(globex, ["inference", "management:read", "management:write"])
    for path in (f"evaluations/{row.pk}/", f"task-sets/{row.task_set_id}/", "evaluations/"):
        assert stranger.get(f"{T}{path}").status_code == 404
        if path.count("/") == 2:
            assert stranger.get(f"tenants/globex/{path}").status_code == 404
    own = stranger.post("tenants/globex/evaluations/", task_set=str(row.task_set_id), model="mock")
    assert errors(own).keys() == {"task_set"}


def test_who_is_no_member_cannot_evaluate(acme: Tenant, operator: User, enter: Enter) -> None:
    assert enter(operator).get(f"{T}evaluations/").status_code == 403
