"""A change of an engine ends its server if the server's command depends on it."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from config.supervisor.engines.launches import EngineRow, Launches
from config.supervisor.home import Home
from config.supervisor.keeper import Keeper

pytestmark = pytest.mark.unit
NOWHERE = "postgres://nobody@127.0.0.1:9/none"
LAUNCH = {"model": "a.gguf"}


class Kept:
    """A keeper for the tests of launches, which runs nothing."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.retired = 0
        self.inherited: dict[str, str] = {}

    def child(
        self,
        name: str,
        line: list[str],
        *_: object,
        inherited: dict[str, str],
        **__: object,
    ) -> SimpleNamespace:
        self.lines.append(" ".join(line))
        self.inherited = inherited
        return SimpleNamespace(name=name)

    def keep(self, *_: object) -> None:
        pass

    async def retire(self, *_: object) -> None:
        self.retired += 1


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def launches(tmp_path: Path, kept: Kept) -> Launches:
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    home = Home(tmp_path / "home")
    home.take()
    return Launches(home, cast(Keeper, kept), NOWHERE, {}, [tmp_path])


def row(slots: int = 2, options: Mapping[str, Any] | None = None) -> EngineRow:
    given = {"launch": LAUNCH, **(options or {})}
    return EngineRow("small", "llama_cpp", slots, "http://127.0.0.1:17001", given, False, "small")


@pytest.mark.parametrize(
    "options",
    [{"silence_s": 60.0}, {"stall_s": 9.0}, {"capabilities": {"tools": False}}, {"version": "v2"}],
)
async def test_what_it_knows_nothing_of_leaves_a_server_alone(
    launches: Launches, kept: Kept, options: dict[str, Any]
) -> None:
    await launches.look([row()])
    await launches.look([row(options=options)])
    assert (len(kept.lines), kept.retired) == (1, 0)


@pytest.mark.parametrize(
    "name",
    [
        "FOREBAY_MASTER_KEY",
        "DATABASE_URL",
        "REDIS_URL",
        "AWS_SECRET_ACCESS_KEY",
        "AZURE_STORAGE_ACCOUNT_KEY",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "PGPASSWORD",
    ],
)
async def test_a_server_inherits_no_secret_of_the_platform(
    launches: Launches, kept: Kept, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("HF_TOKEN", "for-models-that-vllm-downloads")
    monkeypatch.setenv("NCCL_DEBUG", "WARN")
    await launches.look([row()])
    assert name not in kept.inherited
    assert {"HF_TOKEN", "NCCL_DEBUG", "PATH"} <= kept.inherited.keys()


async def test_a_name_is_no_flag(launches: Launches, kept: Kept) -> None:
    await launches.look([row(options={"model": "--threads=64"})])
    assert " --alias=--threads=64 " in kept.lines[0]


@pytest.mark.parametrize("other", [row(slots=3), row(options={"context_length": 64})])
async def test_what_it_runs_with_starts_it_anew(
    launches: Launches, kept: Kept, other: EngineRow
) -> None:
    await launches.look([row()])
    await launches.look([other])
    assert (len(set(kept.lines)), kept.retired) == (2, 1)


async def test_the_server_of_an_engine_that_rests_stops_and_starts_again(
    launches: Launches, kept: Kept
) -> None:
    await launches.look([row()])
    await launches.look([row()._replace(stopped=True)])
    assert (len(kept.lines), kept.retired) == (1, 1)
    await launches.look([row()._replace(stopped=True)])
    await launches.look([row()])
    assert (len(kept.lines), kept.retired) == (2, 1)


async def test_a_gpu_is_free_for_jobs_once_the_server_of_its_engine_has_stopped(
    launches: Launches, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    freed: list[tuple[str, int]] = []

    async def note(_url: str, engine: str) -> None:
        freed.append((engine, kept.retired))

    monkeypatch.setattr("config.supervisor.engines.launches.free_gpu", note)
    await launches.look([row()])
    await launches.look([row()._replace(stopped=True, is_lent=True)])
    assert freed == [("small", 1)]
    await launches.look([row()._replace(stopped=True)])
    not_ours = row()._replace(name="theirs", options={}, stopped=True, is_lent=True)
    await launches.look([not_ours])
    assert freed == [("small", 1)]


async def test_it_reads_the_adapters_of_its_engine(
    launches: Launches, kept: Kept, tmp_path: Path
) -> None:
    await launches.look([row()])
    await launches.look([row(options={"adapters": ["one", "two"]})])
    before, after = kept.lines
    assert "--adapter" not in before
    folder = tmp_path / "home" / "adapters"
    assert after.endswith(f" --adapter {folder}/one.gguf --adapter {folder}/two.gguf")


async def test_a_version_of_the_registry_starts_once_its_copy_is_there(
    launches: Launches, kept: Kept, tmp_path: Path
) -> None:
    promoted = row(options={"launch": {"model": "registry:0192/b.gguf"}})
    await launches.look([promoted])
    assert kept.lines == []
    copy = tmp_path / "home" / "model-copies" / "0192" / "b.gguf"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(b"GGUF")
    await launches.look([promoted])
    assert str(copy) in kept.lines[0]


async def test_a_copy_elsewhere_starts_nothing(
    launches: Launches, kept: Kept, tmp_path: Path
) -> None:
    (tmp_path / "home" / "model-copies").mkdir()
    await launches.look([row(options={"launch": {"model": "registry:../../a.gguf"}})])
    assert kept.lines == []
