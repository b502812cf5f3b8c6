"""Models, pools, engines, prices and limits: shown, set, and left alone where nothing is new."""

import io
import time
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest

from audit.actions import Action
from audit.models import Event
from inference.models import Engine, Model, Pool
from inference.queue.client import client as redis
from inference.queue.fair_queue import prefix
from inference.registry.importing import import_file
from tenants.models import OperatorKey, Price, Tenant, TierPolicy
from tests.config.command.operating.conftest import Forebay

URL = "http://127.0.0.1:9/v1"
NEW = f"gpu-1 --pool here --kind vllm --url {URL} --slots 64"


# Engines -----------------------------------------------------------------------------------------
def test_an_engine_is_set_once_and_then_left_alone(
    forebay: Forebay, key: OperatorKey, pool: Pool
) -> None:
    assert forebay(f"engines set {NEW}") == (0, "engine gpu-1: added\n", "")
    again = forebay(f"engines set {NEW} --json")
    assert (again.status, again.data["changed"], again.data["did"]) == (0, False, "unchanged")
    other = forebay(f"engines set {NEW.replace('64', '128')}")
    assert other == (0, "engine gpu-1: changed (slots: 64 -> 128)\n", "")
    assert Engine.objects.get().slots == 128
    acts = Event.objects.filter(actor=key.actor).order_by("id")
    assert [act.action for act in acts] == [Action.ENGINE_ADD, Action.ENGINE_CHANGE]


@pytest.mark.parametrize(
    "command",
    ["engines remove", "engines drain", "engines show", "pools remove", "models remove"],
)
@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name_is_that_of_nothing(
    forebay: Forebay, pool: Pool, command: str, name: str
) -> None:
    """A script's unset variable must not name the first engine that there is."""
    assert forebay(f"engines set {NEW}").status == 0
    ended = forebay(command, name)
    assert (ended.status, ended.out) == (1, "")
    assert Engine.objects.filter(draining=False).exists()


def test_a_price_of_an_empty_name_is_that_of_nothing(forebay: Forebay, pool: Pool) -> None:
    amounts = ("--prompt", "1", "--cached", "1", "--completion", "1")
    assert forebay("prices set large --pool here", *amounts).status == 0
    for command in ("prices end --pool here", "prices show --pool here", "prices list --model"):
        for name in ("", " "):
            ended = forebay(command, name)
            assert (ended.status, ended.out) == (1, ""), command
    assert "unchanged" in forebay("prices set large --pool here", *amounts).out


def test_add_and_change_are_strict(forebay: Forebay, pool: Pool) -> None:
    absent = forebay("engines change gpu-1 --slots 2")
    assert absent.status == 1
    assert "there is no engine gpu-1" in absent.err
    assert forebay(f"engines add {NEW}").status == 0
    twice = forebay(f"engines add {NEW}")
    assert (twice.status, twice.out) == (1, "")
    assert "is there already: use set, or change" in twice.err
    assert forebay("engines change gpu-1 --slots 2").status == 0
    assert Engine.objects.get().slots == 2


def test_what_is_missing_to_add_one_is_named(forebay: Forebay, pool: Pool) -> None:
    ended = forebay("engines set gpu-1 --slots 3")
    assert ended.status == 2
    assert "to add it, say --pool, --kind" in ended.err


def test_options_are_merged_and_null_takes_one_out(forebay: Forebay, pool: Pool) -> None:
    forebay(f"engines set {NEW} --option context_length=4096 --option model=big")
    assert Engine.objects.get().options == {"context_length": 4096, "model": "big"}
    forebay("engines set gpu-1 --option model=null --option elastic=true")
    assert Engine.objects.get().options == {"context_length": 4096, "elastic": True}
    assert "unchanged" in forebay("engines set gpu-1 --option elastic=true").out


def test_slots_can_follow_the_engine(forebay: Forebay, pool: Pool) -> None:
    forebay(f"engines set {NEW}")
    assert "changed" in forebay("engines set gpu-1 --slots auto").out
    assert Engine.objects.get().auto_slots
    assert "unchanged" in forebay("engines set gpu-1 --slots auto").out


def test_the_key_of_a_server_comes_from_a_file_and_is_printed_nowhere(
    forebay: Forebay, pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    file.write_text("secret-of-the-server\n")
    ended = forebay(f"engines set {NEW} --json --api-key-file {file}")
    assert ended.data["engine"]["has_api_key"]
    dry = forebay(f"engines add gpu-2 --pool here --kind vllm --dry-run --api-key-file {file}")
    monkeypatch.setattr("sys.stdin", io.StringIO("another"))
    replaced = forebay("engines set gpu-1 --api-key-file -")
    assert replaced.out == "engine gpu-1: changed (api_key: replaced)\n"
    assert "secret-of-the-server" not in ended.out + dry.out + replaced.out
    assert forebay(f"engines set gpu-1 --api-key-file {tmp_path}/none").status == 2


def test_what_stays_is_not_changed_by_the_way(forebay: Forebay, pool: Pool) -> None:
    forebay(f"engines set {NEW}")
    Pool.add(pool.model, "there", by="test")
    for change in ("--kind sglang", "--pool there"):
        ended = forebay(f"engines set gpu-1 {change}")
        assert ended.status == 1
        assert "and stays: remove it and add it anew" in ended.err
    assert (Engine.objects.get().kind, Engine.objects.get().pool) == ("vllm", pool)


def test_an_engine_drains_resumes_and_goes(forebay: Forebay, pool: Pool) -> None:
    forebay(f"engines set {NEW}")
    assert forebay("engines drain gpu-1").out == "engine gpu-1: draining\n"
    assert forebay("engines drain gpu-1").out == "engine gpu-1: unchanged\n"
    assert forebay("engines resume gpu-1 --json").data["did"] == "resumed"
    assert not Engine.objects.get().draining
    assert forebay("engines remove gpu-1").out == "engine gpu-1: removed\n"
    gone = forebay("engines remove gpu-1")
    assert gone == (0, "engine gpu-1: unchanged, it is not there\n", "")
    assert forebay("engines drain gpu-1").status == 1


def test_draining_waits_until_the_engine_has_finished(
    forebay: Forebay, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last look shows a request that came late: only two idle looks in a row count."""
    forebay(f"engines set {NEW}")
    running, runner = f"{prefix('here')}:on", f"gpu-1-{'0' * 8}"
    looks: list[float] = []

    def look(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) in (1, 3):
            redis().hdel(running, "request")
        if len(looks) == 2:
            redis().hset(running, "request", runner)

    clock = SimpleNamespace(sleep=look, monotonic=time.monotonic)
    monkeypatch.setattr("config.command.operating.registry.time", clock)
    redis().hset(running, "request", runner)
    assert forebay("engines show gpu-1 --json").data["running"] == 1
    assert forebay("engines drain gpu-1 --wait 60").out == "engine gpu-1: draining\n"
    assert len(looks) == 4
    assert forebay("engines drain gpu-1 --wait 60").out == "engine gpu-1: unchanged\n"


def test_draining_in_vain_names_what_the_engine_still_has(
    forebay: Forebay, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    forebay(f"engines set {NEW}")
    monkeypatch.setattr("config.command.operating.registry.LOOK_EVERY_S", 1.1)
    redis().hset(f"{prefix('here')}:on", "request", f"gpu-1-{'0' * 8}")
    ended = forebay("engines drain gpu-1 --wait 1")
    redis().delete(f"{prefix('here')}:on")
    assert (ended.status, ended.out) == (1, "")
    assert "engine gpu-1 drains, with 1 requests after 1 s" in ended.err
    assert Engine.objects.get().draining


def test_an_engine_that_rests_is_drained_so_that_nothing_wakes_it(
    forebay: Forebay, pool: Pool
) -> None:
    forebay(f"engines set {NEW}")
    assert Engine.objects.get().rest(by="energy")
    assert forebay("engines drain gpu-1").out == "engine gpu-1: draining\n"
    assert not Engine.objects.get().wake(by="energy")
    assert forebay("engines drain gpu-1").out == "engine gpu-1: unchanged\n"


def test_an_idle_engine_is_drained_however_short_the_wait(
    forebay: Forebay, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    forebay(f"engines set {NEW}")
    monkeypatch.setattr("config.command.operating.registry.LOOK_EVERY_S", 0.1)
    ended = forebay("engines drain gpu-1 --wait 0")
    assert (ended.status, ended.out) == (0, "engine gpu-1: draining\n")


def test_a_wait_of_no_time_does_not_pass_over_a_request(forebay: Forebay, pool: Pool) -> None:
    forebay(f"engines set {NEW}")
    redis().hset(f"{prefix('here')}:on", "request", f"gpu-1-{'0' * 8}")
    ended = forebay("engines drain gpu-1 --wait 0")
    redis().delete(f"{prefix('here')}:on")
    assert (ended.status, ended.out) == (1, "")
    assert "with 1 requests after 0 s" in ended.err


def test_a_dry_run_says_what_it_would_do_and_does_nothing(forebay: Forebay, pool: Pool) -> None:
    assert forebay(f"engines set {NEW} --dry-run").out == "engine gpu-1: would be added\n"
    assert not Engine.objects.exists()
    forebay(f"engines set {NEW}")
    would = forebay("engines set gpu-1 --slots 7 --dry-run")
    assert would.out == "engine gpu-1: would be changed (slots: 64 -> 7)\n"
    assert forebay("engines drain gpu-1 --dry-run").out == "engine gpu-1: would be draining\n"
    assert forebay("engines remove gpu-1 --dry-run --json").data["changed"]
    engine = Engine.objects.get()
    assert (engine.slots, engine.draining) == (64, False)


def test_engines_are_listed_as_a_table_and_as_json(forebay: Forebay, pool: Pool) -> None:
    for number in range(1, 4):
        Engine.add(pool, f"gpu-{number}", by="test", kind="vllm", url=URL, slots=number)
    lines = forebay("engines list").out.splitlines()
    assert lines[0].split()[:4] == ["NAME", "MODEL", "POOL", "KIND"]
    assert [line.split()[:4] for line in lines[1:]] == [
        [f"gpu-{number}", "large", "here", "vllm"] for number in range(1, 4)
    ]
    assert [row["slots"] for row in forebay("engines list --json").data] == [1, 2, 3]
    assert forebay("engines list --json --pool there").data == []
    assert forebay("engines show gpu-2 --json").data["slots"] == 2
    assert "slots" in forebay("engines show gpu-2").out


def test_every_page_of_a_long_list_is_read(
    forebay: Forebay, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.api.cursor.USUAL", 2)
    names = [f"gpu-{number}" for number in range(5)]
    for name in names:
        Engine.add(pool, name, by="test", kind="vllm", url=URL)
    assert [row["name"] for row in forebay("engines list --json").data] == names


# Models and pools --------------------------------------------------------------------------------
def test_a_model_with_its_pool_is_made_from_nothing(forebay: Forebay, key: OperatorKey) -> None:
    assert forebay("models set large").out == "model large: added\n"
    assert forebay("models set large").out == "model large: unchanged\n"
    rules = '{"realtime": {"waiting": 10}}'
    line = "pools set here --model large --condition overflow --overflow-after-ms 500 --limits"
    assert forebay(line, rules).out == "pool here: added\n"
    assert forebay(line, rules).out == "pool here: unchanged\n"
    assert Pool.objects.get().limits == {"realtime": {"waiting": 10}}
    assert "position: 0 -> 3" in forebay("pools change here --position 3").out
    assert "large" in forebay("pools list").out
    assert forebay("models show large --json").data["pools"] == ["here"]
    assert forebay("pools remove here").status == 0
    assert forebay("models remove large").status == 0
    assert not Model.objects.exists()


def test_json_comes_from_a_file_too(forebay: Forebay, pool: Pool, tmp_path: Path) -> None:
    file = tmp_path / "limits.json"
    file.write_text('{"batch": {"waiting": 3}}')
    assert forebay(f"pools set here --limits @{file}").status == 0
    pool.refresh_from_db()
    assert pool.limits == {"batch": {"waiting": 3}}
    for wrong in ("[]", "{", "@/nowhere"):
        assert forebay("pools set here --limits", wrong).status == 2


# Prices ------------------------------------------------------------------------------------------
def test_a_price_is_set_where_it_is_another_one(forebay: Forebay, pool: Pool) -> None:
    line = "prices set large --prompt 0.55 --cached 0.14 --completion 2.19"
    assert forebay(line).out == "price large: set\n"
    assert forebay(line).out == "price large: unchanged\n"
    dearer = forebay("prices set large --prompt 0.6")
    assert dearer.out == "price large: set (prompt: 0.5500 -> 0.6000)\n"
    assert forebay("prices set large --prompt 0.7 --dry-run").status == 0
    latest = Price.objects.latest("since")
    assert (latest.prompt, latest.completion) == (Decimal("0.6"), Decimal("2.19"))
    assert Price.objects.count() == 2
    assert len(forebay("prices list --json").data) == 1
    assert len(forebay("prices list --json --all").data) == 2


def test_a_pools_own_price_ends(forebay: Forebay, pool: Pool) -> None:
    missing = forebay("prices set large --pool here --prompt 1")
    assert missing.status == 2
    assert "--cached, --completion" in missing.err
    forebay("prices set large --pool here --prompt 1 --cached 1 --completion 1")
    assert forebay("prices show large --pool here --json").data["prompt"] == "1.0000"
    assert forebay("prices end large --pool here").out == "price large in here: ended\n"
    assert "unchanged" in forebay("prices end large --pool here").out
    assert forebay("prices show large --pool here").status == 1
    assert forebay("prices end large").status == 2


@pytest.mark.parametrize("amount", ["0.00004", "0.55555", "NaN", "1e400"])
def test_a_price_is_not_rounded(forebay: Forebay, pool: Pool, amount: str) -> None:
    ran = forebay(f"prices set large --cached 0.14 --completion 2.19 --prompt {amount}")
    assert ran.status == 2
    assert "at most four places" in ran.err
    assert not Price.objects.exists()


# Limits ------------------------------------------------------------------------------------------
def test_limits_of_a_tenant(forebay: Forebay, key: OperatorKey) -> None:
    tenant = Tenant.open("acme", by="test")
    line = "limits set acme --requests-per-minute 600 --burst tier"
    changed = forebay(line)
    assert changed.out == "limits acme: changed (requests_per_minute: - -> 600)\n"
    assert forebay(line).out == "limits acme: unchanged\n"
    assert "unchanged" not in forebay("limits set acme --requests-per-minute tier --dry-run").out
    tenant.refresh_from_db()
    assert (tenant.requests_per_minute, tenant.burst) == (600, None)
    assert forebay("limits show acme --json").data["effective"]["requests_per_minute"] == 600
    assert forebay("limits show nowhere").status == 1


def test_limits_of_a_tier(forebay: Forebay, key: OperatorKey) -> None:
    assert "weight: 4 -> 6" in forebay("limits set --tier vip --weight 6 --burst 9").out
    policy = TierPolicy.objects.get(tier="vip")
    assert (policy.weight, policy.burst) == (6, 9)
    assert "vip" in forebay("limits list").out
    assert forebay("limits show --tier vip --json").data["weight"] == 6
    for wrong in (
        "acme --tier vip --burst 1",
        "--burst 1",
        "acme",
        "acme --weight 2",
        "--tier vip --burst tier",
        "acme --burst many",
    ):
        assert forebay(f"limits set {wrong}").status == 2, wrong


# What is refused ---------------------------------------------------------------------------------
def test_what_the_file_declares_is_changed_in_the_file(forebay: Forebay, key: OperatorKey) -> None:
    import_file()
    name = Engine.objects.filter(from_file=True)[0].name
    ended = forebay(f"engines set {name} --slots 3")
    assert (ended.status, ended.out) == (1, "")
    assert "declared in FOREBAY_ENGINES: change it there and restart" in ended.err


def test_a_hosted_engine_is_made_by_people(forebay: Forebay, pool: Pool) -> None:
    ended = forebay("engines set away --pool here --kind vllm --url https://192.0.2.1/v1 --hosted")
    assert ended.status == 1
    assert "a person decides" in ended.err
    assert not Engine.objects.exists()


def test_a_wrong_value_is_named_with_its_field(forebay: Forebay, pool: Pool) -> None:
    ended = forebay(f"engines set gpu-1 --pool nowhere --kind vllm --url {URL}")
    assert ended == (1, "", "forebay engines: pool: There is no such pool.\n")
