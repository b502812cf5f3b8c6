"""Parameters of jobs are plain values, and no paths of the worker's host."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from pytest_django.fixtures import Settings

from inference import engines
from inference.evaluation.content import Content, Item, Kind
from inference.jobs import bases, creating, parameters, results
from inference.jobs.bases import Place
from inference.jobs.creating import JobOwner, Wanted
from inference.jobs.on_host.work_folder import WorkFolder
from inference.jobs.refusals import JobRefused
from inference.model_registry.registering import register
from inference.models import Job, ModelVersion, TaskSet, VersionKind
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.inference.model_registry.files import folder, gguf, safetensors
from trainer.kinds import KINDS


@pytest.fixture(autouse=True)
def _folders(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.JOB_FOLDER, settings.JOB_STORE = tmp_path / "jobs", str(tmp_path / "job-store")
    settings.MODEL_STORE, settings.MODEL_COPIES = str(tmp_path / "models"), tmp_path / "copies"
    monkeypatch.setattr(bases, "place", lambda *_: Place("small", "here"))


@pytest.fixture
def globex(transactional_db: None) -> Tenant:
    return Tenant.open("globex", by="test")


@pytest.fixture
def base(transactional_db: None, tmp_path: Path) -> str:
    return str(_registered(None, "base", folder(tmp_path / "base"), VersionKind.BASE))


def _registered(tenant: Tenant | None, name: str, files: Path, kind: VersionKind) -> ModelVersion:
    return register(tenant_id=tenant.id if tenant else None, name=name, folder=files, kind=kind)


def adapter(tenant: Tenant, path: Path) -> ModelVersion:
    safetensors(path / "adapter_model.safetensors")
    (path / "adapter_config.json").write_text('{"r": 8}')
    return _registered(tenant, "support", path, VersionKind.ADAPTER)


def create(tenant: Tenant, kind: str, base: str, **values: Any) -> Job:
    owner = JobOwner(tenant.id, uuid4(), "key:test")
    with tenant_scope(tenant.id):
        return creating.create(owner, Wanted(kind=kind, base=base, parameters=values))


def test_a_job_that_is_created_again_under_its_id_is_the_same(globex: Tenant, base: str) -> None:
    """Its commit was cut off, and had happened."""
    owner, wanted, pk = JobOwner(globex.id, uuid4(), "key:test"), Wanted("quantise", base), uuid4()
    for _ in range(2):
        with tenant_scope(globex.id):
            assert creating.create(owner, wanted, pk).pk == pk
    assert Job.objects.count() == 1


@pytest.mark.unit
def test_each_text_that_the_trainer_reads_as_a_path_is_known() -> None:
    paths = {
        (name, each.name)
        for name, kind in KINDS.items()
        for each in kind.parameters
        if each.type is str and not each.choices
    }
    assert paths == {(str(kind), name) for kind, name in parameters.PATHS.items()}


def test_no_path_of_the_host_reaches_the_trainer(
    acme: Tenant, globex: Tenant, base: str, settings: Settings, tmp_path: Path
) -> None:
    """Another tenant's adapter has a copy at a path that can be known."""
    theirs = adapter(acme, tmp_path / "adapter")
    for name in (
        str(settings.MODEL_COPIES / str(theirs.pk)),
        "/etc/passwd",
        "../../..",
        str(theirs),
        "support",
        "support@1; --",
        "",
    ):
        with pytest.raises(JobRefused):
            create(globex, "convert", base, adapter=name)
    assert not Job.objects.exists()


def test_a_trainer_has_no_more_processes_than_an_engine_has_gpus(
    acme: Tenant, base: str, settings: Settings
) -> None:
    engine = {"kind": "vllm", "url": "http://127.0.0.1:9/v1", "gpus": [0, 1]}
    for pools, most in (({}, bases.MOST_PROCESSES), ({"here": engine}, 2)):
        settings.ENGINES = {"small": {"pools": pools}} if pools else {}
        engines.forget()
        assert create(acme, "convert", base, processes=most).parameters == {"processes": most}
        for count in (most + 1, float(most + 1), 64):
            with pytest.raises(JobRefused, match=f"at most {most}"):
                create(acme, "convert", base, processes=count)


def test_an_adapter_is_named_and_its_copy_is_read(acme: Tenant, base: str, tmp_path: Path) -> None:
    version = adapter(acme, tmp_path / "adapter")
    job = create(acme, "convert", base, adapter="support")
    assert job.parameters["adapter"] == "support@1"
    place = WorkFolder(job)
    place.furnish([])
    order = orjson.loads(place.order.read_bytes())
    copy = Path(order["parameters"]["adapter"])
    assert copy.name == str(version.pk)
    assert (copy / "adapter_config.json").is_file()
    gguf(place.output / "adapter.gguf", general__type="adapter")
    results.finish_conversion(job, place.output)
    place.remove()
    made = ModelVersion.objects.get(kind=VersionKind.ADAPTER, made_by_job=job.id)
    assert made.pk == job.result_version_id
    assert {str(parent) for parent in made.parents.all()} == {"base@1", "support@1"}


def test_a_task_set_is_named_and_its_tests_are_written(acme: Tenant, globex: Tenant) -> None:
    items = [Item(prompt="1+1", answers=["2"]), Item(prompt="2+2", answers=["4", "four"])]
    TaskSet.publish(acme, "sums", Content(Kind.EXACT, items), by="test")
    job = Job(tenant=acme, kind="distil", parameters={"tasks": "sums", "layers": 2})
    place = WorkFolder(job)
    place.path.mkdir(parents=True)
    values = parameters.on_host(job, place.path, lambda copy: copy)
    lines = Path(values["tasks"]).read_bytes().splitlines()
    assert [orjson.loads(line)["answer"] for line in lines] == [["2"], ["4", "four"]]
    assert values["layers"] == 2
    for name in ("sums@2", "sums@x", "others", "/etc/passwd"):
        with pytest.raises(JobRefused), tenant_scope(acme.id):
            parameters.checked(acme.id, "distil", {"tasks": name})
    with pytest.raises(JobRefused), tenant_scope(globex.id):
        parameters.checked(globex.id, "distil", {"tasks": "sums"})


@pytest.mark.unit
@pytest.mark.parametrize(
    "values",
    [
        {"epochs": 2**63},
        {"epochs": float("inf")},
        {"epochs": float("nan")},
        {"epochs": [1]},
        {"epochs": {"a": 1}},
        {"method": "x" * 1001},
        {"x" * 41: 1},
        {str(number): 1 for number in range(51)},
    ],
)
def test_what_no_order_could_carry_is_refused(values: dict[str, Any]) -> None:
    """An order that cannot be written would keep its job queued for ever."""
    with pytest.raises(JobRefused):
        parameters.checked(uuid4(), "fine-tune", values)
