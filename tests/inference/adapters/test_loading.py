"""Engines load what was promoted: a vLLM by its API, a llama.cpp by a new version of its engine."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from channels.db import database_sync_to_async
from pytest_django.fixtures import Settings

from inference import engines
from inference.adapters import files, loading, sharing, targets
from inference.cache.canonical import version_of
from inference.engines.base import AdapterMissing, EngineAway
from inference.engines.kinds.vllm import served_name
from inference.models import (
    Adapter,
    AdapterPromotion,
    Engine,
    EvaluationGate,
    Model,
    ModelVersion,
    Pool,
    PromotionStep,
    Replacement,
)
from inference.models.replacement import Step
from inference.registry import versions
from inference.registry.following import entry_of
from infrastructure.objects.content import Damaged
from tenants.models import Tenant
from tests.inference.adapters.conftest import Vllm
from tests.inference.adapters.rows import BY, a_version, an_adapter, serve

BASE = "large"
in_database = database_sync_to_async


@pytest.fixture
def here(transactional_db: None) -> Pool:
    return Pool.add(Model.add(BASE, by=BY), "here", by=BY)


@pytest.fixture(autouse=True)
def _placed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each version has the files of both kinds."""
    monkeypatch.setattr(files, "place", lambda version: "gguf peft")


def engine(pool: Pool, kind: str, url: str, **options: Any) -> Engine:
    return Engine.add(pool, "gpu-1", by=BY, kind=kind, url=url, options=options)


@pytest.fixture
def launched(here: Pool, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """A llama.cpp that Forebay starts, as far as the rows say."""

    def proposed(old: Engine, changes: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        version = uuid4().hex[:8]
        options = {**old.options, **changes["options"], "version": version}
        return f"gpu-1.{version}", {"kind": old.kind, "url": old.url, "options": options}

    monkeypatch.setattr(versions, "proposed", proposed)
    return engine(here, "llama_cpp", "http://127.0.0.1:9", launch={"model": "base.gguf"})


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception | None], None]:
    """What servers say when they are asked for an adapter; at first that they have it."""
    problems: list[Exception | None] = [None]

    def ask(question: object) -> None:
        if problems[-1]:
            raise problems[-1]

    monkeypatch.setattr(targets, "ask", ask)
    return problems.append


def promoted(tenant: Tenant, number: int = 1, name: str = "support") -> AdapterPromotion:
    own = Adapter.objects.of(tenant).filter(name=name).first() or an_adapter(tenant, BASE, name)
    return own.promote(a_version(tenant, number), by=BY)


def state(promotion: AdapterPromotion) -> tuple[str, str]:
    promotion.refresh_from_db()
    return promotion.step, promotion.reason


def switch(replacement: Replacement) -> Engine:
    """What its driver does once the new engine is warm, and the old one has no request."""
    replacement.refresh_from_db()
    replacement.switch(by=BY)
    replacement.finish(by=BY)
    new: Engine = Engine.objects.get(draining=False)
    return new


def answers_of_the_base() -> bytes:
    """Returns the ends of the names of kept answers, from the engines that are in force."""
    rows = Engine.objects.filter(staged=False).select_related("pool__model")
    in_force = SimpleNamespace(entries=list(map(entry_of, rows)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines, "in_force", lambda: in_force)
        return version_of(BASE)


def adapters_of(replacement: Replacement) -> list[str]:
    """Those that its new engine reads at its start."""
    assert replacement.new
    return list(replacement.new.options["adapters"])


# vLLM --------------------------------------------------------------------------------------------
async def test_a_vllm_loads_it_and_then_it_serves(
    vllm: Vllm, acme: Tenant, settings: Settings
) -> None:
    port = settings.ENGINES["small"]["pools"].popitem()[1]["url"]

    def load() -> tuple[AdapterPromotion, UUID]:
        pool = Pool.add(Model.add(BASE, by=BY), "here", by=BY)
        engine(pool, "vllm", port, loads_adapters=True)
        promotion = promoted(acme)
        loading.load_all()
        return promotion, promotion.version_id

    promotion, version = await in_database(load)()
    assert (await in_database(state)(promotion))[0] == PromotionStep.SERVING
    assert vllm.loaded == [served_name(version)]
    assert promotion.formats == "gguf peft"


def test_until_a_server_answers_the_version_before_serves(
    here: Pool, acme: Tenant, answered: Callable[[Exception | None], None]
) -> None:
    engine(here, "vllm", "http://127.0.0.1:9/v1", loads_adapters=True)
    before = promoted(acme)
    loading.load_all()
    answered(EngineAway("it is starting"))
    promotion = promoted(acme, 2)
    loading.load_all()
    assert (state(before)[0], state(promotion)[0]) == ("serving", "loading")
    answered(None)
    loading.load_all()
    assert (state(before)[0], state(promotion)[0]) == ("replaced", "serving")


def test_one_that_a_server_cannot_load_fails_and_others_load(
    here: Pool, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine(here, "vllm", "http://127.0.0.1:9/v1", loads_adapters=True)
    broken, sound = promoted(acme), promoted(acme, 2, "sales")
    faults: list[Exception | None] = [AdapterMissing(), None]

    def ask(question: object) -> None:
        if fault := faults.pop(0):
            raise fault

    monkeypatch.setattr(targets, "ask", ask)
    loading.load_all()
    assert state(broken) == ("failed", "the server of gpu-1 did not load it: its log says why")
    assert state(sound)[0] == "serving"


def test_a_fault_of_ours_keeps_no_other_from_loading(
    here: Pool,
    acme: Tenant,
    answered: Callable[[Exception | None], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine(here, "vllm", "http://127.0.0.1:9/v1", loads_adapters=True)
    broken, sound = promoted(acme), promoted(acme, 2, "sales")

    def place(version: ModelVersion) -> str:
        if version.pk == broken.version_id:
            raise OSError("no space left")
        return "peft"

    monkeypatch.setattr(files, "place", place)
    loading.load_all()
    assert (state(broken)[0], state(sound)[0]) == ("loading", "serving")


def test_without_an_engine_that_could_have_it_the_reason_is_said(here: Pool, acme: Tenant) -> None:
    engine(here, "vllm", "http://127.0.0.1:9/v1")  # it loads none
    promotion = promoted(acme)
    loading.load_all()
    assert state(promotion) == ("failed", targets.NO_ENGINE)


# llama.cpp ---------------------------------------------------------------------------------------
def test_a_llama_cpp_is_replaced_by_one_with_the_adapter(
    launched: Engine, acme: Tenant, answered: Callable[[Exception | None], None]
) -> None:
    promotion, kept = promoted(acme), answers_of_the_base()
    for _ in range(3):
        loading.load_all()
    replacement = Replacement.objects.get()
    assert adapters_of(replacement) == [str(promotion.version_id)]
    assert state(promotion)[0] == "loading"
    switch(replacement)
    loading.load_all()
    assert state(promotion)[0] == "serving"
    second = promoted(acme, 2, "sales")
    loading.load_all()
    new = switch(Replacement.objects.open().get())
    names = [str(promotion.version_id), str(second.version_id)]
    assert new.options["adapters"] == names  # each keeps what the other has
    assert answers_of_the_base() == kept, "answers of the base that are kept stay"


def test_gates_of_the_pool_were_asked_at_the_promotion_and_do_not_stop_the_loading(
    launched: Engine, acme: Tenant
) -> None:
    EvaluationGate.add(
        launched.pool,
        task_set_name="capitals",
        sha256="a" * 64,
        metric="accuracy",
        bound="absolute",
        limit=0.5,
        by=BY,
    )
    promotion = promoted(acme)
    loading.load_all()
    assert state(promotion) == ("loading", "")
    assert adapters_of(Replacement.objects.get()) == [str(promotion.version_id)]


def test_a_new_server_that_dies_ends_the_promotion_and_the_old_one_serves(
    launched: Engine, acme: Tenant
) -> None:
    promotion = promoted(acme)
    loading.load_all()
    Engine.objects.filter(staged=True).update(starting_reason="ended with status 1")
    loading.load_all()
    said = "the server with it ended with status 1: is it an adapter of this model?"
    assert state(promotion) == ("failed", said)
    assert Replacement.objects.get().step == Step.CANCELLED
    assert list(Engine.objects.values_list("name", "draining")) == [("gpu-1", False)]


def test_places_are_for_those_that_serve_and_the_others_go_first(
    launched: Engine,
    acme: Tenant,
    settings: Settings,
    answered: Callable[[Exception | None], None],
) -> None:
    settings.ADAPTERS_PER_ENGINE = 2
    present, later = promoted(acme), promoted(acme, 3, "sales")
    old = a_version(acme, 8)
    names = [str(old.pk), str(present.version_id)]
    Engine.objects.update(options={**launched.options, "adapters": names})
    loading.load_all()
    replacement = Replacement.objects.open().get()
    assert adapters_of(replacement) == [names[1], str(later.version_id)]
    switch(replacement)
    loading.load_all()
    third = an_adapter(acme, BASE, "third").promote(a_version(acme, 9), by=BY)
    loading.load_all()
    assert state(third) == ("failed", "each engine of this model has room for 2 adapters")
    assert (state(present)[0], state(later)[0]) == ("serving", "serving")


def test_a_tenant_leaves_places_to_others_on_an_engine_that_they_share(
    launched: Engine,
    acme: Tenant,
    globex: Tenant,
    settings: Settings,
    answered: Callable[[Exception | None], None],
) -> None:
    settings.ADAPTERS_PER_ENGINE = 4
    own = [serve(an_adapter(acme, BASE, f"a{n}"), a_version(acme, n)) for n in (1, 2)]
    names = [str(each.version_id) for each in own]
    Engine.objects.update(options={**launched.options, "adapters": names})
    third, theirs = promoted(acme, 3, "third"), promoted(globex)
    loading.load_all()
    reason = "a tenant has at most 2 adapters on an engine that others share"
    assert state(third) == ("failed", reason)
    assert adapters_of(switched := Replacement.objects.get()) == [*names, str(theirs.version_id)]
    switch(switched)
    loading.load_all()
    assert state(theirs)[0] == "serving"
    newer = own[0].adapter.promote(a_version(acme, 4), by=BY)
    loading.load_all()
    assert state(newer)[0] == "loading", "it takes the place of its earlier version"


def test_a_tenant_cannot_have_a_shared_engine_replaced_all_the_time(
    launched: Engine,
    acme: Tenant,
    globex: Tenant,
    monkeypatch: pytest.MonkeyPatch,
    answered: Callable[[Exception | None], None],
) -> None:
    monkeypatch.setattr(sharing, "MOST_AN_HOUR", 1)
    first = promoted(acme)
    loading.load_all()
    switch(Replacement.objects.get())
    loading.load_all()
    assert state(first)[0] == "serving"
    second, theirs = promoted(acme, 2), promoted(globex)
    loading.load_all()
    reason = "engines that others share are replaced 1 times an hour: try again then"
    assert state(second) == ("failed", reason)
    assert state(theirs)[0] == "loading"
    assert Replacement.objects.open().count() == 1


def test_one_of_an_operators_own_server_says_what_to_do(here: Pool, acme: Tenant) -> None:
    engine(here, "llama_cpp", "http://127.0.0.1:9")
    promotion = promoted(acme)
    loading.load_all()
    assert state(promotion)[1].startswith("gpu-1 is started by its operator")


# Deletion ----------------------------------------------------------------------------------------
def test_a_deleted_version_leaves_engines_and_the_disk(
    launched: Engine,
    acme: Tenant,
    answered: Callable[[Exception | None], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    removed = list[UUID]()
    monkeypatch.setattr(files, "remove", removed.append)
    version = a_version(acme)
    promotion = serve(an_adapter(acme, BASE), version)
    names = {"adapters": [str(version.pk)]}
    Engine.objects.update(options={**launched.options, **names})
    version.delete_files(by=BY)
    loading.load_all()
    assert not removed, "an engine still reads it at its start"
    new = switch(Replacement.objects.open().get())
    assert new.options["adapters"] == []
    loading.load_all()
    assert removed == [version.pk]
    assert state(promotion)[0] == "replaced"
    assert promotion.forgotten_at
    loading.load_all()
    assert removed == [version.pk], "once is enough"


# Engines that come later -------------------------------------------------------------------------
def test_an_engine_that_joins_the_pool_gets_what_serves(
    launched: Engine, acme: Tenant, answered: Callable[[Exception | None], None]
) -> None:
    version = a_version(acme)
    serve(an_adapter(acme, BASE), version)
    for _ in range(3):
        loading.load_all()
    replacement = Replacement.objects.get()
    assert adapters_of(replacement) == [str(version.pk)]
    replacement.fail("no memory", by=BY)
    loading.load_all()
    assert Replacement.objects.count() == 1, "not again and again"


def test_one_whose_files_are_lost_keeps_no_other_from_a_new_engine(
    launched: Engine,
    acme: Tenant,
    answered: Callable[[Exception | None], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The pool would serve none of them, and deleted ones would stay on engines."""
    lost, sound = a_version(acme), a_version(acme, 2)
    serve(an_adapter(acme, BASE), lost)
    serve(an_adapter(acme, BASE, "sales"), sound)

    def place(version: ModelVersion) -> str:
        if version.pk == lost.pk:
            raise Damaged("not what was stored")
        return "gguf peft"

    monkeypatch.setattr(files, "place", place)
    for _ in range(2):
        loading.load_all()
    assert adapters_of(Replacement.objects.get()) == [str(sound.pk)]


def test_a_server_of_ours_gets_a_new_version_with_the_same_model(
    here: Pool, settings: Settings, tmp_path: Path
) -> None:
    """Also the embedded one, whose model lies in no folder of FOREBAY_MODELS."""
    model, key = tmp_path / "base.gguf", tmp_path / "engines.key"
    model.write_bytes(b"GGUF....")
    key.write_text("secret of the home")
    settings.MODEL_FOLDERS, settings.ENGINE_KEYS_FILE = [model], key
    old = engine(here, "llama_cpp", "http://127.0.0.1:17001", launch={"model": str(model)})
    names = [str(uuid4())]
    new = targets.replace(old, names).new
    assert new
    assert new.options["adapters"] == names
    assert new.options["launch"] == old.options["launch"]
    assert new.url != old.url
    with pytest.raises(targets.Refused, match="ids of versions"):
        targets.replace(new, ["../../etc/passwd"])
