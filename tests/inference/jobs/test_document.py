"""Answers about fine-tuning jobs are as the OpenAPI document describes them."""

from typing import Any

import httpx
import orjson
from jsonschema import Draft202012Validator

from config.http.document import Document
from config.http.front_ends import ROUTERS
from inference.jobs.creating import JobOwner
from inference.models import Job
from tenants.models import ApiKey
from tests.inference.jobs.works import LINES, Works, in_database
from tests.inference.web import served, serving

JOBS = "/v1/fine_tuning/jobs"


def check(answer: httpx.Response, name: str) -> dict[str, Any]:
    """Returns the answer, which has the fields of this schema and no others."""
    assert answer.status_code == 200, answer.text
    document = orjson.loads(Document(ROUTERS).texts["/v1/openapi.json"])
    components, value = document["components"], answer.json()
    root = {"$ref": f"#/components/schemas/{name}", "components": components}
    Draft202012Validator(root).validate(value)
    assert value.keys() <= components["schemas"][name]["properties"].keys()
    return dict(value)


async def test_a_job_its_log_and_its_checkpoints(works: Works) -> None:
    await in_database(works.base)()
    _, text = await in_database(ApiKey.issue)(works.bench.acme, "ci", by="test")
    client = httpx.AsyncClient(
        transport=httpx.ASGITransport(served, client=("198.51.100.7", 5000)),
        base_url="http://forebay",
        headers={"Authorization": f"Bearer {text}"},
    )
    async with serving(), client:
        fields, chats = {"purpose": "fine-tune"}, {"file": ("chats.jsonl", LINES)}
        file = check(await client.post("/v1/files", data=fields, files=chats), "File")
        wanted = {"model": "tiny", "training_file": file["id"], "metadata": {"case": "1"}}
        job = check(await client.post(JOBS, json=wanted), "FineTuningJob")
        row = await in_database(Job.objects.get)(pk=job["id"].removeprefix("ftjob-"))
        works.start()
        await works.reaches(row, "succeeded")
        check(await client.get(f"{JOBS}/{job['id']}"), "FineTuningJob")
        jobs = check(await client.get(JOBS), "FineTuningJobList")
        events = check(await client.get(f"{JOBS}/{job['id']}/events"), "FineTuningEventList")
        path = f"{JOBS}/{job['id']}/checkpoints"
        points = check(await client.get(path), "FineTuningCheckpointList")
        assert all(page["data"] for page in (jobs, events, points))


async def test_a_job_with_a_wrong_parameter_hides_no_others(works: Works) -> None:
    """The management API takes parameters as they come: the trainer judges them."""
    key, text = await in_database(ApiKey.issue)(works.bench.acme, "ci", by="test")
    owner = JobOwner(works.bench.acme.id, key.subject_id, f"key:{key.id}", api_key_id=key.id)
    for rate in ("0.001", True, 4e-4):
        await works.create(owner=owner, learning_rate=rate)
    client = httpx.AsyncClient(
        transport=httpx.ASGITransport(served, client=("198.51.100.7", 5000)),
        base_url="http://forebay",
        headers={"Authorization": f"Bearer {text}"},
    )
    async with serving(), client:
        jobs = check(await client.get(JOBS), "FineTuningJobList")["data"]
    rates = [each["hyperparameters"]["learning_rate_multiplier"] for each in jobs]
    assert rates == [1.0, "auto", "auto"]
