"""A replacement goes from step to step, whoever drives it, and fails without harm."""

from datetime import timedelta
from threading import Thread

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import connection
from django.utils import timezone
from redis import Redis

from audit.models import Event
from inference.engines.kinds.exclusive_use import EngineUse
from inference.models import Engine, Replacement
from inference.models.replacement import Step
from inference.queue.fair_queue import FairQueue, prefix
from inference.queue.occupancy import new_runner_id
from inference.registry.importing import import_file
from inference.registry.versions import proposed
from inference.replacing import driving
from inference.replacing.driving import Drive, Lost, drive_all
from infrastructure.redis.link import RedisLink
from tests.inference.orders import an_item
from tests.inference.replacing.version import BY, OLD, Version, begun

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driving, "BEAT_S", 0.02)
    monkeypatch.setattr(driving, "SETTLED_AFTER_S", 0.04)


def driven(replacement: Replacement) -> Replacement:
    driver = replacement.claim()
    assert driver
    with Drive(replacement.pk, driver) as drive:
        drive.run()
    replacement.refresh_from_db()
    return replacement


def actions() -> list[str]:
    found = Event.objects.filter(action__startswith="engine:").order_by("id")
    return list(found.values_list("action", flat=True))


def serving_ones() -> list[str]:
    return [e.name for e in Engine.objects.filter(staged=False, draining=False)]


def test_the_new_version_serves_once_it_is_warm_and_the_old_one_goes(
    engine: Engine, version: Version
) -> None:
    begun_one = begun(engine, version, warm_ups=4)
    new = Engine.objects.get(name="gpu-1.v2")
    assert (new.staged, new.options, new.seat) == (
        True,
        {"model": "theirs", "version": "v2"},
        "gpu-1",
    )
    assert serving_ones() == ["gpu-1"]
    found = driven(begun_one)
    assert (found.step, found.reason, found.old) == (Step.DONE, "", None)
    assert serving_ones() == [e.name for e in Engine.objects.all()] == ["gpu-1.v2"]
    assert len(version.asked) == 4
    moments = [found.created_at, found.loaded_at, found.warmed_at, found.ended_at]
    assert moments == sorted(moment for moment in moments if moment)
    assert actions()[1:] == ["engine:add", "engine:replace", "engine:switch", "engine:remove"]


def test_redis_hears_of_a_llama_cpp_server_while_it_loads(
    engine: Engine, version: Version, valkey: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, beat = EngineUse(version.url).keys[1], Drive._beat
    version.ready = False

    def until_heard(self: Drive) -> None:
        version.ready = bool(valkey.hexists(known, "since"))
        beat(self)

    monkeypatch.setattr(Drive, "_beat", until_heard)
    assert driven(begun(engine, version, kind="llama_cpp")).step == Step.DONE
    valkey.delete(known)


def test_the_next_one_counts_on_and_its_worker_stays(engine: Engine, version: Version) -> None:
    driven(begun(engine, version))
    driven(begun(Engine.objects.get(), version))
    third = Engine.objects.get()
    assert (third.name, third.options["version"], third.seat) == ("gpu-1.v3", "v3", "gpu-1")


def test_it_waits_until_the_engine_answers(
    engine: Engine, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    version.ready = False
    beat, beats = Drive._beat, []

    def counted(self: Drive) -> None:
        beats.append(Replacement.objects.get().step)
        version.ready = len(beats) >= 5
        beat(self)

    monkeypatch.setattr(Drive, "_beat", counted)
    assert driven(begun(engine, version)).step == Step.DONE
    assert beats[:5] == [Step.LOADING] * 5
    assert Step.WARMING in beats


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"text": "!" * 32}, "garbage"),
        ({"text": "\ufffd" * 8}, "garbage"),
        ({"text": "  "}, "without a text"),
        ({"model": "another"}, "as the model 'another'"),
    ],
)
def test_what_is_not_as_it_should_be_does_not_serve(
    engine: Engine, version: Version, change: dict[str, str], why: str
) -> None:
    for name, value in change.items():
        setattr(version, name, value)
    found = driven(begun(engine, version, kind="vllm"))
    assert (found.step, found.new) == (Step.FAILED, None)
    assert why in found.reason
    assert [e.name for e in Engine.objects.all()] == serving_ones() == ["gpu-1"]
    assert actions()[-1] == "engine:replace_fail"


def test_one_that_never_answers_fails_in_time(engine: Engine, version: Version) -> None:
    version.ready = False
    begun_one = begun(engine, version, load_within_s=5)
    Replacement.objects.update(created_at=timezone.now() - timedelta(seconds=6))
    found = driven(begun_one)
    assert (found.step, found.reason) == (Step.FAILED, "it was not ready within 5 s")


def test_a_model_without_a_chat_is_asked_for_text(engine: Engine, version: Version) -> None:
    version.chats = False
    assert driven(begun(engine, version)).step == Step.DONE
    assert "prompt" in version.asked[-1]


def test_one_that_takes_less_needs_a_word(engine: Engine, version: Version) -> None:
    options = {"context_length": 1024, "capabilities": {"tools": False}}
    engine.change(by=BY, options={**engine.options, "capabilities": {"tools": True}})
    found = driven(begun(engine, version, options=options))
    assert found.step == Step.FAILED
    assert "1024 tokens of context instead of 8192, no tools" in found.reason
    assert driven(begun(engine, version, options=options, may_take_less=True)).step == Step.DONE


def test_a_hosted_one_takes_nothing_of_who_is_local_only(engine: Engine, version: Version) -> None:
    found = driven(begun(engine, version, hosted=True))
    assert (found.step, serving_ones()) == (Step.FAILED, ["gpu-1"])
    assert "nothing that may not leave this installation" in found.reason
    assert driven(begun(engine, version, hosted=True, may_take_less=True)).step == Step.DONE


def test_a_version_is_not_called_like_the_one_before(engine: Engine, version: Version) -> None:
    driven(begun(engine, version))
    second = Engine.objects.get()
    for given in ({"name": "other.v2"}, {"name": "other", "version": "v2"}):
        with pytest.raises(ValidationError) as refused:
            proposed(second, {"url": version.url, **given})
        assert list(refused.value.message_dict) == ["version"]


def test_a_fault_of_ours_ends_it(
    engine: Engine, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one warm-up after the other, which a hosted service would have paid."""

    async def fails(*_: object) -> list[str]:
        raise LookupError

    monkeypatch.setattr(driving, "missing_capabilities", fails)
    found = driven(begun(engine, version))
    assert (found.step, serving_ones()) == (Step.FAILED, ["gpu-1"])
    assert found.reason == "a fault of the platform: LookupError"
    assert len(version.asked) == 3


def test_it_is_cancelled_until_it_serves(
    engine: Engine, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    version.ready = False
    begun_one = begun(engine, version)
    beat = Drive._beat

    def cancelled(self: Drive) -> None:
        if begun_one.step == Step.LOADING:
            begun_one.cancel(by=BY)
        beat(self)

    monkeypatch.setattr(Drive, "_beat", cancelled)
    with pytest.raises(Lost):
        driven(begun_one)
    begun_one.refresh_from_db()
    assert (begun_one.step, begun_one.new) == (Step.CANCELLED, None)
    assert [e.name for e in Engine.objects.all()] == ["gpu-1"]
    monkeypatch.undo()
    version.ready = True
    done = driven(begun(engine, version))
    with pytest.raises(ValidationError):
        done.cancel(by=BY)


def test_a_removed_engine_ends_it(engine: Engine, version: Version) -> None:
    found = begun(engine, version)
    Engine.objects.get(name="gpu-1.v2").delete()
    assert driven(found).reason == "the engine gpu-1.v2 was removed"
    found = begun(engine, version)
    engine.remove(by=BY)
    assert driven(found).step == Step.FAILED
    assert not Engine.objects.exists()


def test_the_old_one_is_kept_and_comes_back(engine: Engine, version: Version) -> None:
    found = driven(begun(engine, version, keeps_old=True))
    assert (found.step, serving_ones()) == (Step.KEPT, ["gpu-1.v2"])
    engine.refresh_from_db()
    with pytest.raises(ValidationError, match="roll that back"):
        engine.resume(by=BY)
    found.roll_back(by=BY)
    assert serving_ones() == ["gpu-1"]
    assert driven(found).step == Step.ROLLED_BACK
    assert [e.name for e in Engine.objects.all()] == ["gpu-1"]
    with pytest.raises(ValidationError):
        found.roll_back(by=BY)


def test_the_old_one_stays_while_it_has_something(
    engine: Engine, version: Version, valkey: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = engine.pool.name
    async_to_sync(_running)(pool, engine.name)
    beat, busy = Drive._beat, [5]

    def later(self: Drive) -> None:
        if Replacement.objects.get().step == Step.SWITCHED:
            busy[0] -= 1
            assert Engine.objects.filter(name="gpu-1").exists()
            if not busy[0]:
                valkey.delete(f"{prefix(pool)}:on")
        beat(self)

    monkeypatch.setattr(Drive, "_beat", later)
    assert driven(begun(engine, version)).step == Step.DONE
    assert busy[0] < 0
    valkey.delete(*valkey.keys(f"{prefix(pool)}:*"))


def test_neither_goes_while_one_takes_the_others_place(engine: Engine, version: Version) -> None:
    found = begun(engine, version)
    found.switch(by=BY)
    new = Engine.objects.get(name="gpu-1.v2")
    engine.refresh_from_db()
    for act in (new.remove, engine.remove, new.drain):
        with pytest.raises(ValidationError, match="takes the other's place"):
            act(by=BY)
    assert driven(found).step == Step.DONE
    new.drain(by=BY)
    new.remove(by=BY)


def test_where_the_new_one_has_gone_the_old_one_serves_again(
    engine: Engine, version: Version
) -> None:
    found = begun(engine, version)
    found.switch(by=BY)
    Engine.objects.get(name="gpu-1.v2").delete()
    found = driven(found)
    assert (found.step, found.reason) == (Step.FAILED, "the engine gpu-1.v2 was removed")
    assert serving_ones() == ["gpu-1"]


def test_where_the_old_one_has_gone_nothing_is_rolled_back(
    engine: Engine, version: Version
) -> None:
    found = begun(engine, version)
    found.switch(by=BY)
    found.roll_back(by=BY)
    Engine.objects.get(name="gpu-1").delete()
    assert driven(found).step == Step.DONE
    assert serving_ones() == ["gpu-1.v2"]


def test_one_of_the_file_comes_back_where_its_version_was_removed(version: Version) -> None:
    import_file({"small": {"kind": "openai", "url": OLD}})
    found = driven(begun(Engine.objects.get(), version))
    Engine.objects.get(name="small.v2").remove(by=BY)
    found.refresh_from_db()
    found.roll_back(by=BY)
    assert driven(found).step == Step.ROLLED_BACK
    assert serving_ones() == ["small"]


async def _running(pool: str, engine: str) -> None:
    link = RedisLink(settings.REDIS_URL)
    queue = FairQueue(link, pool)
    await queue.enqueue(an_item(), b"x")
    await queue.pop(1, new_runner_id(engine))
    link.close()


@pytest.mark.parametrize("dies_at", [Step.LOADING, Step.WARMING, Step.SWITCHED])
def test_another_one_goes_on_where_the_driver_died(
    engine: Engine, version: Version, monkeypatch: pytest.MonkeyPatch, dies_at: Step
) -> None:
    found, beat = begun(engine, version), Drive._beat

    def dies(self: Drive) -> None:
        if Replacement.objects.get().step == dies_at:
            raise KeyboardInterrupt
        beat(self)

    monkeypatch.setattr(Drive, "_beat", dies)
    with pytest.raises(KeyboardInterrupt):
        driven(found)
    monkeypatch.setattr(Drive, "_beat", beat)
    assert found.claim() is None, "its lease has not run out"
    assert not drive_all()
    Replacement.objects.update(driven_until=timezone.now() - timedelta(seconds=1))
    assert driven(found).step == Step.DONE
    assert serving_ones() == ["gpu-1.v2"]


def test_who_has_lost_the_lease_decides_nothing(engine: Engine, version: Version) -> None:
    found = begun(engine, version)
    driver = found.claim()
    assert driver
    Replacement.objects.update(driven_until=timezone.now() - timedelta(seconds=1))
    assert found.claim()
    with Drive(found.pk, driver) as drive, pytest.raises(Lost):
        drive.run()
    assert serving_ones() == ["gpu-1"]


def test_one_at_a_time(engine: Engine, version: Version) -> None:
    begun(engine, version)
    with pytest.raises(ValidationError, match="being replaced already"):
        begun(engine, version, name="other")
    new = Engine.objects.get(name="gpu-1.v2")
    with pytest.raises(ValidationError, match="being loaded"):
        begun(new, version)
    for act in (new.drain, new.resume):
        with pytest.raises(ValidationError, match="being loaded"):
            act(by=BY)
    with pytest.raises(ValidationError, match="being loaded"):
        new.change(by=BY, slots=2)


def test_the_old_key_goes_to_no_other_server(engine: Engine, version: Version) -> None:
    engine.change(by=BY, api_key="sk-old")
    with pytest.raises(ValidationError) as refused:
        begun(engine, version)
    assert list(refused.value.message_dict) == ["api_key"]
    begun(engine, version, api_key="")
    assert Engine.objects.get(name="gpu-1.v2").api_key == ""


def test_an_engine_of_the_file_is_kept_and_stays_replaced(version: Version) -> None:
    file = {"small": {"kind": "openai", "url": OLD}}
    import_file(file)
    found = driven(begun(Engine.objects.get(), version))
    assert found.step == Step.KEPT
    import_file({"small": {"kind": "openai", "url": "http://127.0.0.1:10/v1"}})
    assert serving_ones() == ["small.v2"]
    driven(begun(Engine.objects.get(name="small.v2"), version))
    import_file(file)
    assert serving_ones() == ["small.v3"]
    found.refresh_from_db()
    found.roll_back(by=BY)
    driven(found)
    import_file(file)
    assert [e.name for e in Engine.objects.all()] == serving_ones() == ["small"]


@pytest.mark.django_db(transaction=True)
def test_the_task_drives_in_a_thread_of_its_own(engine: Engine, version: Version) -> None:
    begun(engine, version)
    threads: list[Thread] = drive_all()
    assert not drive_all(), "somebody does already"
    for thread in threads:
        thread.join(30)
    assert Replacement.objects.get().step == Step.DONE
    connection.close()
