"""FOREBAY_ROLES: a host of several has what it names, and makes up nothing that all must share."""

from pathlib import Path

import pytest

from config import environment
from config.supervisor import options
from config.supervisor.terminal import RunProblem

pytestmark = pytest.mark.unit
SHARED = {
    "DATABASE_URL": "postgres://forebay:secret@db/forebay",
    "REDIS_URL": "redis://:secret@valkey:6379/0",
    "FOREBAY_MASTER_KEY": "x",
    "FOREBAY_AUDIT_SIGNING_KEY": "x",
    "FOREBAY_ADMITTING_PROCESSES": "4",
}
WEB, WORKERS = frozenset({"web"}), frozenset({"workers"})


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (*SHARED, "FOREBAY_KMS_URL", "FOREBAY_ROLES", "FOREBAY_BROKER_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(environment, "HOME", tmp_path)


def test_without_roles_a_host_has_all_of_them() -> None:
    told = options.read()
    assert not told.roles
    assert all(map(told.has, options.ROLES))


def test_a_host_has_the_roles_that_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**SHARED, "FOREBAY_ROLES": "web, grpc"}.items():
        monkeypatch.setenv(name, value)
    told = options.read()
    assert [role for role in options.ROLES if told.has(role)] == ["web", "grpc"]


def test_an_unknown_role(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREBAY_ROLES", "web,wokers")
    with pytest.raises(RunProblem, match="'wokers' is none of web, grpc, workers, jobs"):
        options.read()


@pytest.mark.parametrize("missing", SHARED)
def test_what_is_not_shared_is_missed_at_the_start(missing: str, tmp_path: Path) -> None:
    variables = {name: value for name, value in SHARED.items() if name != missing}
    with pytest.raises(RunProblem, match=missing):
        options.require_shared(WEB, variables, tmp_path)


def test_a_cluster_needs_a_broker_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis+cluster://:secret@a:6379,b:6379")
    with pytest.raises(environment.EnvironmentProblem, match="FOREBAY_BROKER_URL"):
        options.read()
    monkeypatch.setenv("FOREBAY_BROKER_URL", "redis://c:6379/0")
    assert options.read().redis_url


def test_keys_may_be_files_and_the_master_key_in_a_kms(tmp_path: Path) -> None:
    servers = {name: SHARED[name] for name in ("DATABASE_URL", "REDIS_URL")}
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "audit_signing.key").write_text("x")
    options.require_shared(WORKERS, {**servers, "FOREBAY_KMS_URL": "https://vault"}, tmp_path)
    (tmp_path / "secrets" / "master.key").write_text("x")
    options.require_shared(WORKERS, servers, tmp_path)


@pytest.mark.parametrize(
    ("here", "engine", "runs"),
    [
        ("", "gpu-1", True),
        ("gpu-1", "gpu-1", True),
        ("gpu-1", "gpu-10", False),
        ("gpu-1-*, cpu", "gpu-1-a", True),
        ("gpu-1-*, cpu", "cpu", True),
        ("gpu-1-*, cpu", "gpu-2-a", False),
    ],
)
def test_which_engines_have_their_workers_here(
    monkeypatch: pytest.MonkeyPatch, here: str, engine: str, runs: bool
) -> None:
    monkeypatch.setenv("FOREBAY_ENGINES_HERE", here)
    assert options.runs_here(engine) is runs
