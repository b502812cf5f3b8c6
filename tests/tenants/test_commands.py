import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from audit.actions import Action
from audit.models import Event
from tenants import secret_keys
from tenants.models import ApiKey, Link, Member, Team, Tenant, User
from tenants.models.link import Purpose
from tenants.roles import Role

PASSWORD = "a forebay holds the river"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """The command's whole stdout, which must be one JSON object."""
    capsys.readouterr()
    call_command(*words, "--json")
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


@pytest.fixture
def home(tmp_path: Path, settings: Any) -> Path:
    settings.FOREBAY_HOME = tmp_path
    return tmp_path


# create_tenant -----------------------------------------------------------------------------------
def test_create_tenant(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    answer = run(capsys, "create_tenant", "acme", "--tier", "vip", "--burst", "0")
    tenant = Tenant.objects.get()
    assert answer == {
        "tenant": {"id": str(tenant.id), "name": "acme", "tier": "vip"},
        "admin": None,
    }
    assert (tenant.burst, tenant.limit("requests_per_minute")) == (0, 100)
    assert Event.objects.get().actor == "command:create_tenant"


def test_create_tenant_with_everything(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    limits = ["--requests-per-minute", "0", "--tokens-per-minute", "5", "--max-concurrency", "3"]
    limits += ["--megabytes-per-day", "0"]
    settings = ["--profile", "mlps-l3", "--local-only", "--time-zone", "Asia/Shanghai"]
    settings += ["--browser-origin", "https://a.example", "--browser-origin", "https://b.example"]
    quotas = ["--quota", "requests/day=1000", "--quota", "tokens/month=5"]
    run(capsys, "create_tenant", "acme", "--retention-days", "365", *limits, *settings, *quotas)
    tenant = Tenant.objects.get()
    assert tenant.effective == {
        "requests_per_minute": 0,
        "burst": 200,
        "tokens_per_minute": 5,
        "max_concurrency": 3,
        "megabytes_in_flight": 32,
        "megabytes_per_day": 0,
    }
    assert (tenant.profile, tenant.local_only, tenant.retention_days) == ("mlps-l3", True, 365)
    assert tenant.time_zone == "Asia/Shanghai"
    assert tenant.allowed_origins == ["https://a.example", "https://b.example"]
    found = tenant.quotas.order_by("unit").values_list("unit", "window", "limit")
    assert list(found) == [("requests", "day", 1000), ("tokens", "month", 5)]
    assert not tenant.quotas.exclude(api_key=None).exists()


def test_create_tenant_with_an_administrator(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    admin = run(capsys, "create_tenant", "acme", "--admin", "Alice@Acme.example")["admin"]
    assert admin["email"] == "alice@acme.example"
    page = Client().post(urlsplit(admin["link"]).path, {"password": PASSWORD, "again": PASSWORD})
    assert page.status_code == 302
    assert Member.objects.get(user__email="alice@acme.example").role == Role.OWNER


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["taken"], "already exists"),
        (["Acme"], "Use lowercase letters, digits and dashes"),
        (["a" * 61], "at most 60 characters"),
        (["acme", "--burst", "-3"], "burst: Ensure this value is greater"),
        (["acme", "--admin", "nonsense"], "valid email"),
        (["acme", "--tier", "gold"], "invalid choice"),
        (["acme", "--profile", "none"], "invalid choice"),
        (["acme", "--retention-days", "183"], "retention_days: "),
        (["acme", "--time-zone", "Mars"], "time_zone: "),
        (["acme", "--quota", "apples/day=3"], "apples/day=3"),
    ],
)
def test_create_tenant_refuses(db: None, words: list[str], said: str) -> None:
    Tenant.open("taken", by="test")
    with pytest.raises(CommandError, match=said) as refusal:
        call_command("create_tenant", *words)
    assert "\n" not in str(refusal.value)
    assert Tenant.objects.count() == 1
    assert not Link.objects.exists()


def test_create_tenant_for_people(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("create_tenant", "acme", "--admin", "alice@acme.example")
    said = capsys.readouterr().out
    assert "Tenant acme (standard) is open." in said
    assert "/welcome/" in said


# create_api_key ----------------------------------------------------------------------------------
def test_create_api_key(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    Tenant.open("acme", by="test")
    answer = run(capsys, "create_api_key", "acme", "--name", "ci", "--days", "30")
    key = ApiKey.objects.get()
    assert answer["api_key"].startswith("sk-fb-")
    assert secret_keys.digest(answer["api_key"]) == bytes(key.digest)
    assert (answer["tenant"], answer["name"], answer["id"]) == ("acme", "ci", str(key.id))
    assert key.expires_at
    assert (key.scopes, key.allowed_models, key.allowed_networks) == (["inference"], [], [])


def test_create_api_key_with_everything(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    Team.form(Tenant.open("acme", by="test"), "research", by="test")
    lists = ["--scope", "inference", "--scope", "audit:read", "--model", "a", "--model", "b"]
    networks = ["--network", "192.0.2.7", "--network", "2001:db8::/32"]
    limits = ["--burst", "3", "--tokens-per-minute", "9", "--quota", "requests/day=10"]
    run(
        capsys,
        *["create_api_key", "acme", "--name", "ci", "--team", "research"],
        *[*lists, *networks, *limits],
    )
    key = ApiKey.objects.get()
    assert (key.scopes, key.allowed_models) == (["audit:read", "inference"], ["a", "b"])
    assert key.allowed_networks == ["192.0.2.7/32", "2001:db8::/32"]
    assert (key.burst, key.tokens_per_minute, key.max_concurrency) == (3, 9, None)
    assert key.team
    assert key.quotas.get().limit == 10


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere", "--name", "ci"], "there is no tenant named 'nowhere'"),
        (["acme"], "--name"),
        (["acme", "--name", ""], "name: This field cannot be blank."),
        (["acme", "--name", "x" * 81], "at most 80 characters"),
        (["acme", "--name", "ci", "--days", "0"], "from 1 to 3650"),
        (["acme", "--name", "ci", "--days", "soon"], "from 1 to 3650"),
        (["acme", "--name", "ci", "--scope", "root"], "invalid choice"),
        (
            ["acme", "--name", "ci", "--network", "home"],
            "allowed_networks: 'home' is not an IP address",
        ),
        (["acme", "--name", "ci", "--model", ""], "allowed_models: "),
        (["acme", "--name", "ci", "--team", "nobody"], "no team named 'nobody' in acme"),
        (["acme", "--name", "ci", "--quota", "requests/day"], "requests/day"),
    ],
)
def test_create_api_key_refuses(db: None, words: list[str], said: str) -> None:
    Tenant.open("acme", by="test")
    with pytest.raises(CommandError, match=said):
        call_command("create_api_key", *words)
    assert not ApiKey.objects.exists()


# create_operator ---------------------------------------------------------------------------------
def test_create_operator(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    User.objects.create_user("first@forebay.example", PASSWORD, is_operator=True)
    made = run(capsys, "create_operator", "Second@Forebay.example")
    link = Link.objects.by_token(made["link"].rstrip("/").rpartition("/")[2])
    assert link
    person = link.use("", PASSWORD)
    assert (person.email, person.is_operator) == ("second@forebay.example", True)
    assert Event.objects.filter(action=Action.OPERATOR_CREATE, actor=person.actor).count() == 1
    with pytest.raises(CommandError, match="is an operator already"):
        call_command("create_operator", person.email)
    with pytest.raises(CommandError, match="valid email"):
        call_command("create_operator", "nobody")


def test_each_new_operators_link_is_their_own(
    db: None, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither the next one's nor that of a start without an operator takes its place."""
    anybodys = run(capsys, "first_run")["operator_link"]
    graces, adas, again = (
        run(capsys, "create_operator", f"{name}@forebay.example")["link"]
        for name in ("grace", "ada", "ada")
    )
    assert [_works(link) for link in (anybodys, graces, adas, again)] == [False, True, False, True]
    fresh = run(capsys, "first_run")["operator_link"]
    assert [_works(link) for link in (graces, again, fresh)] == [True, True, True]
    link = Link.objects.by_token(graces.rstrip("/").rpartition("/")[2])
    assert link
    link.use("", PASSWORD)
    assert [_works(link) for link in (graces, again, fresh)] == [False, True, False]


def _works(url: str) -> bool:
    return Link.objects.by_token(url.rstrip("/").rpartition("/")[2]) is not None


def test_create_operator_keeps_duties_apart(db: None) -> None:
    strict = Tenant.open("strict", by="test", profile="mlps-l3")
    strict.add_member(User.objects.create_user("alice@acme.example"), Role.AUDITOR, by="test")
    with pytest.raises(CommandError, match="keeps operators out"):
        call_command("create_operator", "alice@acme.example")


def test_remove_operator(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (
        User.objects.create_user(f"{name}@forebay.example", PASSWORD, is_operator=True)
        for name in ("first", "second")
    )
    client = Client()
    client.force_login(second, "allauth.account.auth_backends.AuthenticationBackend")
    assert client.get("/console/tenants/").status_code == 200
    run(capsys, "remove_operator", "Second@forebay.example")
    assert client.get("/console/tenants/").status_code == 403
    assert Event.objects.filter(action=Action.OPERATOR_REMOVE).get().detail == {"user": second.pk}
    with pytest.raises(CommandError, match="this is the last one"):
        call_command("remove_operator", first.email)
    with pytest.raises(CommandError, match="no operator"):
        call_command("remove_operator", second.email)


# first_run ---------------------------------------------------------------------------------------
def test_the_very_first_start(db: None, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = run(capsys, "first_run")
    assert answer["demo_tenant"] == "demo"
    assert secret_keys.digest(answer["demo_api_key"]) == bytes(ApiKey.objects.get().digest)
    kept = home / "secrets" / "demo_api_key"
    assert kept.read_text() == answer["demo_api_key"]
    assert kept.stat().st_mode & 0o777 == 0o600


def test_the_first_operator_owns_the_demo_tenant(
    db: None, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link = run(capsys, "first_run")["operator_link"]
    form = {"email": "grace@forebay.example", "password": PASSWORD, "again": PASSWORD}
    Client().post(urlsplit(link).path, form)
    member = Member.objects.get()
    assert (member.user.is_operator, member.tenant.name, member.role) == (True, "demo", Role.OWNER)


def test_a_later_start_has_a_fresh_link_and_the_same_key(
    db: None, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = run(capsys, "first_run"), run(capsys, "first_run")
    assert first["operator_link"] != second["operator_link"]
    assert first["demo_api_key"] == second["demo_api_key"]
    assert (Tenant.objects.count(), ApiKey.objects.count(), Link.objects.count()) == (1, 1, 1)


def test_once_there_is_an_operator_there_is_no_link(
    db: None, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "first_run")
    User.objects.create_user("grace@forebay.example", is_operator=True)
    answer = run(capsys, "first_run")
    assert answer["operator_link"] is None
    assert answer["demo_api_key"]


def test_without_a_demo(
    db: None, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOREBAY_DEMO", "0")
    answer = run(capsys, "first_run")
    assert answer["operator_link"]
    assert (answer["demo_tenant"], answer["demo_api_key"]) == (None, None)
    assert not Tenant.objects.exists()


def test_no_demo_where_people_work_already(
    db: None, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Tenant.open("acme", by="test")
    assert run(capsys, "first_run")["demo_tenant"] is None


def test_a_revoked_or_lost_demo_key_is_not_printed(
    db: None, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "first_run")
    (home / "secrets" / "demo_api_key").write_text("sk-fb-something-else")
    assert run(capsys, "first_run")["demo_api_key"] is None
    (home / "secrets" / "demo_api_key").unlink()
    answer = run(capsys, "first_run")
    assert (answer["demo_tenant"], answer["demo_api_key"]) == ("demo", None)


@pytest.mark.django_db(transaction=True)
def test_two_starts_at_once(home: Path) -> None:
    def start(_: int) -> None:
        try:
            call_command("first_run", "--json", stdout=StringIO())
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as starts:
        list(starts.map(start, range(4)))
    assert (Tenant.objects.count(), ApiKey.objects.count()) == (1, 1)
    assert Link.objects.filter(purpose=Purpose.FIRST_RUN).count() == 1
    assert Event.objects.filter(action=Action.TENANT_CREATE).count() == 1


# As a program ------------------------------------------------------------------------------------
@pytest.fixture
def program(tmp_path: Path) -> Any:
    """manage.py in a process of its own, with a database that is not there."""
    gone = "postgres://nobody@127.0.0.1:1/nothing"
    environment = {**os.environ, "DATABASE_URL": gone, "FOREBAY_HOME": str(tmp_path)}
    environment.pop("FOREBAY_MFA", None)  # of the suite: it is warned about

    def started(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "manage.py", *words]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    return started


def test_without_a_database_there_is_one_clear_line(program: Any) -> None:
    answer = program("create_tenant", "acme", "--json")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.count("\n") == 1
    assert "the database does not answer" in answer.stderr


# rotate_api_key ----------------------------------------------------------------------------------
def test_rotate_api_key(acme: Tenant, capsys: pytest.CaptureFixture[str]) -> None:
    key, _text = ApiKey.issue(acme, "build", by="test")
    at = ["--at", "2999-01-31T08:00:00Z", "--every-days", "90"]
    answer = run(capsys, "rotate_api_key", "acme", key.public_id, *at)
    assert answer["rotate_at"] == "2999-01-31T08:00:00+00:00"
    answer = run(capsys, "rotate_api_key", "acme", str(key.pk), "--end-schedule")
    assert answer["rotate_at"] is None
    answer = run(capsys, "rotate_api_key", "acme", str(key.pk), "--overlap-hours", "1")
    assert ApiKey.objects.get(digest=secret_keys.digest(answer["api_key"])).name == "build"
    with pytest.raises(CommandError, match="has been collected"):
        call_command("rotate_api_key", "acme", answer["id"], "--collect")
    with pytest.raises(CommandError, match="no key"):
        call_command("rotate_api_key", "acme", "nonsense")


@pytest.mark.parametrize("words", [["--every-days", "30"], ["--at", ""]])
def test_a_schedule_that_says_no_time_rotates_nothing(acme: Tenant, words: list[str]) -> None:
    """A key that rotates now instead takes its clients by surprise."""
    key, _text = ApiKey.issue(acme, "build", by="test")
    with pytest.raises(CommandError):
        call_command("rotate_api_key", "acme", str(key.pk), *words)
    assert acme.api_keys.count() == 1


def test_a_key_rotated_by_command_is_on_record(
    acme: Tenant, capsys: pytest.CaptureFixture[str]
) -> None:
    key, _text = ApiKey.issue(acme, "build", by="test")
    run(capsys, "rotate_api_key", "acme", str(key.pk), "--overlap-hours", "1")
    event = Event.objects.get(action=Action.API_KEY_ROTATE)
    assert event.actor == "command:rotate_api_key"
