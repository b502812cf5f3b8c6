"""A platform is upgraded while it trains: the job goes on from its checkpoint, and is paid once."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.servers.child import Child
from tests.e2e.ask import eventually
from tests.e2e.conftest import Platform, start_mock
from tests.e2e.jobs import JobTenant
from tests.inference.jobs.scripted_trainer import write_model, write_program
from tests.upgrades.next_version import NEXT, add_migration, write_next_version

pytestmark = [pytest.mark.e2e, pytest.mark.soak, pytest.mark.timeout(900)]
STEPS, STEP_S = 60, 0.2
STOPPED_AFTER = 12  # steps, none of which a checkpoint has by itself
SAVE_EVERY = 1000
STOP_S = 25  # for a step and a checkpoint, not for the job
DOWN_S = 5
PRICE = """
    insert into tenants_price (model, pool, prompt, cached, completion, gpu_hour, ended, since)
    values ('mock', '', 0, 0, 0, 3600, false, now()) returning id"""
MICROS_PER_MS = 1000  # at that price
KNOWN_S = 5.5  # each process has heard of a price by then


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("job-upgrade")
    mock = start_mock(folder)
    url = f"http://127.0.0.1:{mock.port}/v1"
    served = {"mock": {"kind": "openai", "url": url, "context_length": 4096}}
    variables = {"FOREBAY_TRAINER_PYTHON": str(write_program(folder))}
    platform = Platform(folder, served, variables=variables)
    yield platform
    platform.stop()
    mock.child.stop()


@pytest.fixture(scope="module")
def next_version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("next") / "forebay"
    write_next_version(tree)
    add_migration(tree)
    return tree


@pytest.mark.slow(seconds=90)
def test_a_training_goes_on_in_the_next_version(
    platform: Platform, next_version: Path, tmp_path: Path
) -> None:
    trainers = JobTenant(platform, "trainers", tmp_path / "diary")
    job, began_at = begin(platform, trainers, tmp_path), time.monotonic()
    eventually(lambda: len(trainers.steps) >= STOPPED_AFTER, 120)
    upgrade(platform, next_version)
    assert 0 < len(trainers.steps) < STEPS, "it was over before the upgrade, or never began"
    eventually(lambda: trainers.job(job)["state"] == "succeeded", 180)
    assert trainers.steps == list(range(1, STEPS + 1)), "no step is lost, and none done twice"
    is_paid_once(platform, trainers.job(job), time.monotonic() - began_at - DOWN_S)


def begin(platform: Platform, trainers: JobTenant, folder: Path) -> str:
    base = folder / "base"
    write_model(base, 3)
    platform.manage("register_model", "tiny", str(base))
    platform.rows(PRICE)
    time.sleep(KNOWN_S)
    return trainers.begin(
        "pretrain", base="tiny", steps=STEPS, step_s=STEP_S, save_every=SAVE_EVERY
    )


def upgrade(platform: Platform, tree: Path) -> None:
    """Stop the platform, and start the next version, which migrates."""
    assert platform.stop() < STOP_S
    time.sleep(DOWN_S)
    env = {**platform.env, "PYTHONPATH": os.pathsep.join([str(tree), str(tree / "platform")])}
    command = [sys.executable, "-m", "config.supervisor"]
    platform.child = Child(command, platform.child.log, env, tree)
    platform.child.wait_until_ready(f"{platform.url}/readyz", 180)
    assert platform.rows("select version from tenants_schemarelease") == [(NEXT,)]
    column = "select 1 from information_schema.columns where column_name = 'of_the_next'"
    assert platform.rows(column), "the next version has migrated"


def is_paid_once(platform: Platform, job: dict[str, int], most_s: float) -> None:
    """`most_s`: in which a trainer can have run."""
    usage = platform.rows("select gpu_ms, cost from inference_usage where gpu_ms > 0")
    settled = "select gpu_ms, cost from tenants_ledgerentry where kind <> 'reserve' and gpu_ms > 0"
    assert usage == platform.rows(settled) == [(job["gpu_ms"], job["cost"])]
    assert job["cost"] == job["gpu_ms"] * MICROS_PER_MS
    assert STEPS * STEP_S <= job["gpu_ms"] / 1000 <= most_s
    assert platform.rows("select 1 from inference_completion where state = 'open'") == []
