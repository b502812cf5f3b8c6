"""Lending in the console and the API: the option, and engines that are lent."""

from typing import Any
from uuid import UUID

import pytest
from django.test import Client

from inference.lending import loans
from inference.models import Engine, Job, Pool
from inference.models.job import JobState
from inference.queue.client import client as redis
from inference.queue.fair_queue import prefix
from tenants.models import Tenant
from tests.console.api.conftest import Api
from tests.console.serving.conftest import BY, POOLS, acts, page, sent

LENDING = {"return_s": 30, "hours": "22:00-06:00", "time_zone": "Europe/Berlin"}
ORDER = UUID(int=7)


@pytest.fixture
def lender(engine: Engine) -> Engine:
    engine.options = {"launch": {"model": "a-model"}}
    engine.save()
    engine.rest(by=BY)
    engine.lend(by=loans.BY)
    Engine.objects.filter(pk=engine.pk).update(gpu_free=True)
    engine.refresh_from_db()
    return engine


@pytest.fixture
def job(lender: Engine, acme: Tenant) -> Any:
    """A job on the GPU of the engine, as its runner shows it in Redis."""
    job = Job.objects.create(
        tenant=acme,
        subject_id=UUID(int=1),
        data_key_id=UUID(int=2),
        actor=BY,
        kind="prepare",
        state=JobState.RUNNING,
        model="large",
        pool="here",
        order_id=ORDER,
    )
    queue = prefix("here:jobs")
    redis().hset(f"{queue}:on", str(ORDER), f"{lender.name}:jobs-aaaa")
    yield job
    redis().delete(f"{queue}:on")


def test_an_operator_has_a_pool_lend_and_all_of_it_is_on_record(client: Client, pool: Pool) -> None:
    path = f"{POOLS}{pool.pk}/"
    known = client.get(path).context["form"]["known"].initial
    lending = '{"return_s": 30, "hours": "22:00-06:00", "time_zone": "Europe/Berlin"}'
    sent(client, path, known=known, condition="always", lending=lending)
    shown = page(client, path)
    for text in ("back within 30 s", "1 always awake", "one more loaded", "22:00-06:00"):
        assert text in shown
    assert acts("pool:change")[0][1]["lending"] == [{}, LENDING]


def test_a_pool_of_too_few_engines_to_lend_any_says_so(client: Client, pool: Pool) -> None:
    Pool.objects.update(lending=LENDING)
    Engine.objects.all().delete()
    warning = "only engines beyond the first 2 are lent"
    for number in range(3):
        assert warning in page(client, f"{POOLS}{pool.pk}/")
        url = "http://127.0.0.1:9/v1"
        Engine.add(pool, f"gpu-{number}", by=BY, kind="openai", url=url)
    assert warning not in page(client, f"{POOLS}{pool.pk}/")


def test_pages_show_what_is_lent_and_to_which_job(client: Client, lender: Engine, job: Job) -> None:
    Pool.objects.update(lending=LENDING)
    for path in (POOLS, f"{POOLS}{lender.pool_id}/", f"{POOLS}engines/{lender.pk}/"):
        shown = page(client, path)
        assert "lent" in shown, path
        assert f"to {job.public_id}" in shown, path
    lender.take_back(by=BY)
    assert "asked back" in page(client, f"{POOLS}engines/{lender.pk}/")
    lender.hand_back(by=BY)
    Engine.objects.update(starting_since=None)
    lender.end_return()
    assert "serving again after" in page(client, f"{POOLS}engines/{lender.pk}/")


def test_a_lent_engine_without_a_job_says_so(client: Client, lender: Engine) -> None:
    assert "no job runs there" in page(client, f"{POOLS}engines/{lender.pk}/")
    Engine.objects.update(gpu_free=False)
    assert "its server stops" in page(client, f"{POOLS}engines/{lender.pk}/")


def test_the_api_shows_it_too(client: Client, lender: Engine, job: Job) -> None:
    api = Api(client)
    changed = api.patch(f"pools/{lender.pool_id}/", lending=LENDING)
    assert changed.json()["lending"] == LENDING
    shown = api.get(f"engines/{lender.pk}/").json()
    assert shown["lent_to"] == job.public_id
    assert shown["lent_since"]
    assert (shown["returning_since"], shown["last_return_s"]) == (None, None)
    refused = api.patch(f"pools/{lender.pool_id}/", lending={"return_s": 0})
    assert refused.status_code == 400
