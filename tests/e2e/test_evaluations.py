"""Evaluations of the bundled model through a running platform: engine, record, bill and report.

tests/inference/evaluation/test_evaluating.py has each kind and each end without a platform.
"""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.ask import eventually
from tests.e2e.conftest import Platform

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
MODEL = "smollm2-135m"
PATIENCE_S = 300.0  # of a busy machine
CAPITALS = [
    ("France", ["Paris", "Rome", "Oslo", "Lima"], 0),
    ("Japan", ["Cairo", "Tokyo", "Paris", "Rome"], 1),
    ("Italy", ["Oslo", "Madrid", "Rome", "Tokyo"], 2),
    ("Spain", ["Lima", "Oslo", "Paris", "Madrid"], 3),
    ("Egypt", ["Cairo", "Quito", "Bern", "Delhi"], 0),
]
TEXT = "Water flows downhill because of gravity. The river carries sand and stones to the sea."
SHUFFLED = "sea the to stones and sand carries river The. gravity of because downhill flows Water"


class Tenant:
    """A tenant of its own, whose key may evaluate."""

    def __init__(self, platform: Platform, name: str) -> None:
        self.platform, self.name = platform, name
        platform.manage("create_tenant", name, "--json")
        scopes = ("inference", "management:read", "management:write")
        given = [word for scope in scopes for word in ("--scope", scope)]
        made = platform.manage("create_api_key", name, "--name", "evaluator", *given, "--json")
        headers = {"Authorization": f"Bearer {json.loads(made)['api_key']}"}
        base = f"{platform.url}/api/v1/tenants/{name}/"
        self.api = httpx.Client(base_url=base, headers=headers, timeout=60)

    def task_set(self, name: str, kind: str, rows: list[dict[str, Any]], **options: Any) -> str:
        content = "\n".join(map(json.dumps, rows))
        body = {"name": name, "kind": kind, "content": content, "options": options}
        answer = self.api.post("task-sets/", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def begin(self, task_set: str, **body: Any) -> str:
        answer = self.api.post("evaluations/", json={"task_set": task_set, "model": MODEL, **body})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def look(self, evaluation: str) -> dict[str, Any]:
        """Returns an evaluation after a second: the API has a limit of calls."""
        time.sleep(1)
        answer = self.api.get(f"evaluations/{evaluation}/")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def ended(self, evaluation: str) -> dict[str, Any]:
        def over() -> dict[str, Any] | None:
            row = self.look(evaluation)
            return None if row["state"] in ("queued", "running") else row

        row: dict[str, Any] = eventually(over, PATIENCE_S)
        return row

    def evaluated(self, task_set: str, **body: Any) -> dict[str, Any]:
        row = self.ended(self.begin(task_set, **body))
        assert row["state"] == "succeeded", row
        return row

    def usage(self, since: int = 0) -> list[tuple[Any, ...]]:
        return self.platform.rows(
            "select u.klass, u.status, u.prompt_tokens, u.completion_tokens, u.error_code "
            "from inference_usage u join tenants_tenant t on t.id = u.tenant_id "
            "where t.name = %s order by u.created_at offset %s",
            self.name,
            since,
        )


@pytest.fixture(scope="module")
def tenant(real: Platform) -> Iterator[Tenant]:
    tenant = Tenant(real, "evaluators")
    yield tenant
    tenant.api.close()


def figures(row: dict[str, Any]) -> dict[str, Any]:
    return {each["name"]: each for each in row["report"]["figures"]}


@pytest.mark.slow(seconds=60)
def test_choices_are_weighed_by_the_engine_and_billed(tenant: Tenant) -> None:
    rows = [
        {"prompt": f"The capital city of {name} is", "choices": choices, "answer": right}
        for name, choices, right in CAPITALS
    ]
    before = len(tenant.usage())
    row = tenant.evaluated(tenant.task_set("capitals", "choices", rows))
    accuracy = figures(row)["accuracy"]
    assert accuracy["candidate"]["value"] >= 0.8
    assert accuracy["baselines"]["chance"] == 0.25
    ((klass, status, prompt, completion, _code),) = tenant.usage(before)
    assert (klass, status) == ("evaluation", 200)
    side = row["report"]["candidate"]
    assert (side["prompt_tokens"], side["completion_tokens"]) == (prompt, completion)
    assert side["tokens"] >= 20
    assert completion >= 5
    assert row["percent"] == 100


@pytest.mark.soak
@pytest.mark.slow(seconds=60)
def test_a_text_is_more_likely_than_its_words_in_disorder(tenant: Tenant) -> None:
    sets = [
        tenant.task_set(name, "perplexity", [{"text": text}], window=32)
        for name, text in (("river", TEXT), ("disorder", SHUFFLED))
    ]
    plain, shuffled = (figures(tenant.evaluated(each)) for each in sets)
    low, high = (each["perplexity"]["candidate"]["value"] for each in (plain, shuffled))
    assert 2 < low < 60 < high
    top = plain["next_token_accuracy"]["candidate"]["value"]
    assert top > plain["next_token_accuracy"]["baselines"]["majority"]
    assert (
        plain["bits_per_byte"]["candidate"]["value"] < plain["bits_per_byte"]["baselines"]["zlib"]
    )


@pytest.mark.soak
@pytest.mark.slow(seconds=60)
def test_answers_are_compared_with_those_that_are_right(tenant: Tenant) -> None:
    rows: list[dict[str, Any]] = [
        {"prompt": "1, 2, 3, 4, 5, 6, 7,", "answer": "8, 9, 10"},
        {
            "messages": [{"role": "user", "content": "What is the capital of France?"}],
            "answer": ["The capital of France is Paris."],
        },
        {"prompt": "The opposite of hot is", "answer": "no such answer"},
    ]
    row = tenant.evaluated(tenant.task_set("answers", "exact", rows, max_tokens=9))
    match = figures(row)["exact_match"]["candidate"]
    assert match["n"] == 3
    assert match["value"] < 1
    assert "Paris" not in json.dumps(row["report"])
    texts = tenant.api.get(f"evaluations/{row['id']}/report/", params={"form": "html"})
    assert texts.headers["content-type"].startswith("text/html")
    assert "<svg" in texts.text


@pytest.mark.slow(seconds=30)
def test_a_refusal_of_the_engine_or_the_platform_ends_it(tenant: Tenant) -> None:
    tasks = tenant.task_set("wide", "perplexity", [{"text": "a " * 3000}], window=4096)
    before = len(tenant.usage())
    assert tenant.ended(tenant.begin(tasks))["error_code"] == "context_length_exceeded"
    (used,) = eventually(lambda: tenant.usage(before), PATIENCE_S)
    assert used[:3] == ("evaluation", 400, 0)  # the engine has read nothing of it
    unknown = tenant.ended(tenant.begin(tasks, model="nobody"))
    assert (unknown["state"], unknown["error_code"]) == ("failed", "model_not_found")


@pytest.mark.soak
@pytest.mark.slow(seconds=60)
def test_a_cancelled_one_ends_its_request_and_is_billed_what_it_took(tenant: Tenant) -> None:
    long = [{"text": f"{TEXT} Number {n}."} for n in range(400)]
    tasks = tenant.task_set("long", "perplexity", long)
    before = len(tenant.usage())
    evaluation = tenant.begin(tasks)
    path = f"evaluations/{evaluation}/"
    eventually(lambda: tenant.look(evaluation)["percent"] > 0, PATIENCE_S)
    assert tenant.api.post(f"{path}cancel/").json()["state"] == "cancelled"
    (used,) = eventually(lambda: tenant.usage(before), PATIENCE_S)
    assert (used[0], used[1]) == ("evaluation", 499)
    assert 0 < used[2] < 400 * 20
    assert tenant.api.post(f"{path}cancel/").json()["state"] == "cancelled"
    assert tenant.api.delete(path, headers={"If-Match": "*"}).status_code == 204
    assert tenant.api.get(path).status_code == 404


def test_what_is_recorded_is_the_question_and_the_figures(tenant: Tenant) -> None:
    rows = tenant.platform.rows(
        "select action, count(*) from audit_event e join tenants_tenant t on t.id = e.tenant_id "
        "where t.name = %s group by action",
        tenant.name,
    )
    counts = dict(rows)
    assert counts["evaluation:create"] >= counts["evaluation:end"] >= 1
    assert counts["completion:received"] == counts["completion:completed"] >= 1
