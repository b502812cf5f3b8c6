"""Checks that run against the platform, and turn red when what they look at is not so any more."""

import base64
import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from allauth.mfa.models import Authenticator
from django.conf import settings as settings_
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from django.utils.translation import override

from audit.actions import Action
from audit.checks import catalogue_check, full_verification
from audit.erasure.certificate import canonical
from audit.keys import signing
from audit.models import (
    Checkpoint,
    CheckRun,
    DataKey,
    DeletionRequest,
    Event,
    Export,
    KeyRotation,
    LegalHold,
    SealMark,
    WitnessMark,
)
from audit.offline import forebay_verify
from audit.retention import legal_hold
from audit.trail.record import act
from console.backups.record import Verified
from console.backups.verifications import store
from console.compliance import figures_words, personal, runs
from console.compliance.check import BROKEN, Check, CheckOutcome, Reach
from console.compliance.checks import CHECKS
from console.compliance.clause import CLAUSES, GDPR, MLPS, REGIMES
from console.compliance.figures_words import WORDS
from console.compliance.overview import STATES, ClauseState, overview_of
from console.compliance.signed_report import PURPOSE
from console.compliance.texts import Text
from inference.engines import forget
from tenants.models import Member, Tenant, User
from tenants.roles import Profile, Role
from tests.console.asked import completion
from tests.console.conftest import SignIn, join
from tests.unguarded import as_shipped, unguarded

PAGE, ALL = "/console/t/acme/compliance/", "/console/compliance/"
CHINESE = re.compile("[一-鿿]")
pytestmark = pytest.mark.django_db


def found(name: str, tenant: Tenant | None = None) -> CheckOutcome:
    return runs.outcome_of(CHECKS[name], tenant)


def sql(statement: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)


# Complete, in both languages ---------------------------------------------------------------------
def every_text() -> Iterator[Text]:
    yield from REGIMES.values()
    yield from STATES.values()
    yield from personal.LABELS.values()
    for clause in CLAUSES:
        yield from (clause.title, clause.asks)
        for text in (clause.feature, clause.customer, clause.missing):
            if text.en or text.zh:
                yield text
    for check in CHECKS.values():
        yield from (check.label, check.how)
        for problem in check.problems.values():
            yield from (problem.what, problem.todo)


def test_every_text_is_there_in_both_languages() -> None:
    for text in every_text():
        assert text.en, text
        assert not CHINESE.search(text.en), text
        assert CHINESE.search(text.zh), text


def test_every_clause_has_its_answer() -> None:
    for clause in CLAUSES:
        assert clause.checks or clause.customer.en or clause.missing.en, clause.number
        assert set(clause.checks) <= CHECKS.keys(), clause.number
        assert clause.feature.en or not clause.checks, clause.number
    numbers = [(clause.regime, clause.number) for clause in CLAUSES]
    assert len(numbers) == len(set(numbers))
    assert {clause.regime for clause in CLAUSES} == {MLPS, GDPR}


def test_no_check_is_without_a_clause() -> None:
    assert {name for clause in CLAUSES for name in clause.checks} == CHECKS.keys()


def test_every_figure_has_a_name(alice: Member) -> None:
    for check in CHECKS.values():
        for tenant in (None, alice.tenant):
            said = set(runs.outcome_of(check, tenant).figures) - set(figures_words.LISTS)
            assert said <= WORDS.keys(), check.name


def test_every_field_of_every_model_has_a_class() -> None:
    """A new field fails here until compliance/personal.py says what of a person is in it."""
    assert personal.gaps() == []


# As it comes, all is well ------------------------------------------------------------------------
# What a test's database cannot have: TLS, second factors (FOREBAY_MFA=optional), mlps-l3.
NOT_HERE = {"browsers", "second_factors", "profile"}


@pytest.mark.parametrize("name", sorted(set(CHECKS) - NOT_HERE))
def test_a_fresh_platform_passes(name: str, alice: Member, charlie: Member) -> None:
    sql(as_shipped())  # tests themselves may truncate
    for tenant in (None, alice.tenant):
        assert found(name, tenant).problem == "", found(name, tenant)


# Each check can fail -----------------------------------------------------------------------------
def drop_a_policy(acme: Tenant) -> None:
    sql("drop policy forebay_tenant on tenants_apikey")


def drop_the_triggers(acme: Tenant) -> None:
    sql("drop trigger audit_append_only on audit_event")


def drop_the_floor(acme: Tenant) -> None:
    sql("drop trigger tenants_retention_floor on tenants_tenant")


def an_event_from_long_ago(acme: Tenant) -> None:
    old = timezone.now() - timedelta(days=400)
    Event.objects.create(at=old, action=Action.SESSION_LOGIN, actor="x", tenant_id=acme.id)


def a_backup_that_does_not_restore(acme: Tenant) -> None:
    store(Verified(at=time.time(), findings=["it cannot be restored"]))


def a_backup_verified_last_month(acme: Tenant) -> None:
    store(Verified(at=time.time() - 30 * 86400))


def a_witness_that_does_not_hear(acme: Tenant) -> None:
    a_checkpoint()
    WitnessMark.objects.create(name="file", n=0, problem="disk full")


def no_witness(acme: Tenant) -> None:
    WitnessMark.objects.all().delete()
    a_checkpoint()


def a_checkpoint(hours_ago: int = 1) -> None:
    when = timezone.now() - timedelta(hours=hours_ago)
    facts = {"size": 1, "root": b"1" * 32, "previous": bytes(32), "key_id": "x", "signature": b"x"}
    Checkpoint.objects.create(n=1, at=when, **facts)


def a_verification_that_found_something(acme: Tenant) -> None:
    figures = {"sealed": 9, "found": 1, "kinds": {"event_changed": 1}}
    _a_verification(hours_ago=5, ok=False, figures=figures)


def a_verification_from_last_week(acme: Tenant) -> None:
    _a_verification(hours_ago=7 * 24, ok=True, figures={"sealed": 9, "found": 0})


def no_verification_of_an_old_trail(acme: Tenant) -> None:
    a_checkpoint(hours_ago=72)


def _a_verification(*, hours_ago: int, **fields: Any) -> None:
    at = timezone.now() - timedelta(hours=hours_ago)
    CheckRun.objects.create(name=full_verification.NAME, at=at, **fields)


def an_event_that_waits_for_its_seal(acme: Tenant) -> None:
    old = timezone.now() - timedelta(minutes=5)
    Event.objects.create(at=old, action=Action.SESSION_LOGIN, actor="x", xid=4)


def a_database_that_was_set_back(acme: Tenant) -> None:
    SealMark.objects.create(xid=2**62)


def a_stuck_rotation(acme: Tenant) -> None:
    made = KeyRotation.objects.create(
        tenant_id=acme.id, old_key_id=uuid4(), new_key_id=uuid4(), actor="x"
    )
    KeyRotation.objects.filter(pk=made.pk).update(started_at=timezone.now() - timedelta(days=2))


def an_old_key(acme: Tenant) -> None:
    key = DataKey.objects.create(tenant_id=acme.id, wrapped=b"x")
    DataKey.objects.filter(pk=key.pk).update(created_at=timezone.now() - timedelta(days=900))


class Clear:
    """A cipher that gives back whatever was encrypted, changed or moved as it may be."""

    def encrypt(self, text: bytes, aad: bytes) -> bytes:
        self.text = text
        return bytes(92)

    def decrypt(self, ciphertext: bytes, aad: bytes) -> bytes:
        return self.text


def a_blank_password(acme: Tenant) -> None:
    User.objects.filter(memberships__tenant=acme).update(password="")


def a_clear_password(acme: Tenant) -> None:
    User.objects.filter(memberships__tenant=acme).update(password="admin")


def a_superuser(acme: Tenant) -> None:
    User.objects.filter(memberships__tenant=acme).update(is_superuser=True)


def nobody_comes(acme: Tenant) -> None:
    User.objects.update(last_login=timezone.now() - timedelta(days=91))


def a_session_for_ever(acme: Tenant) -> None:
    Session.objects.create(
        session_key="x" * 32, session_data="", expire_date=timezone.now() + timedelta(days=30)
    )


def an_operator_inside(acme: Tenant) -> None:
    _under_mlps(acme)
    User.objects.filter(memberships__tenant=acme).update(is_operator=True)


def no_auditor(acme: Tenant) -> None:
    _under_mlps(acme)


def _under_mlps(acme: Tenant) -> None:
    Tenant.objects.filter(pk=acme.pk).update(profile=Profile.MLPS)
    acme.refresh_from_db()


def a_request_without_events(acme: Tenant) -> None:
    completion(acme, seconds_ago=3600)


def an_overdue_deletion(acme: Tenant) -> None:
    _deletion(acme, state="approved", hours_ago=80)


def a_late_deletion(acme: Tenant) -> None:
    _deletion(acme, state="done", hours_ago=100, finished_at=timezone.now())


def a_key_that_came_back(acme: Tenant) -> None:
    request = _deletion(acme, state="done", hours_ago=5, finished_at=timezone.now())
    DataKey.objects.create(tenant_id=acme.id, subject_id=request.subject_id, wrapped=b"x")


def _deletion(acme: Tenant, *, hours_ago: int, **fields: Any) -> DeletionRequest:
    asked = timezone.now() - timedelta(hours=hours_ago)
    times = {"requested_at": asked, "due_at": asked + timedelta(hours=72)}
    who = {"tenant_id": acme.id, "subject_id": uuid4(), "requested_by": "x"}
    return DeletionRequest.objects.create(**times, **who, **fields)


def a_hold_of_one_person(acme: Tenant) -> None:
    sql("alter table audit_legalhold drop constraint audit_hold_two_people")
    now = timezone.now()
    LegalHold.objects.create(
        tenant_id=acme.id,
        reason="x",
        requested_by="user:1",
        approved_by="user:1",
        approved_at=now,
        expires_at=now + timedelta(days=3),
    )


def an_export_that_stayed(acme: Tenant) -> None:
    ended = timezone.now() - timedelta(days=3)
    Export.objects.create(
        tenant_id=acme.id, kind="audit", state="ready", actor="x", expires_at=ended
    )


Stage = Callable[[Tenant], None]
FAILURES: list[tuple[str, str, Stage]] = [
    ("row_security", "gaps", drop_a_policy),
    ("append_only", "changeable", drop_the_triggers),
    ("protections", "drift", drop_the_triggers),
    ("retention_floor", "floor_gave_way", drop_the_floor),
    ("oldest_row", "kept_too_long", an_event_from_long_ago),
    ("unsealed", "stopped", a_database_that_was_set_back),
    ("unsealed", "behind", an_event_that_waits_for_its_seal),
    ("verified", "findings", a_verification_that_found_something),
    ("verified", "stale", a_verification_from_last_week),
    ("verified", "stale", no_verification_of_an_old_trail),
    ("backups", "findings", a_backup_that_does_not_restore),
    ("backups", "stale", a_backup_verified_last_month),
    ("witnesses", "unheard", a_witness_that_does_not_hear),
    ("witnesses", "none", no_witness),
    ("keys", "stuck", a_stuck_rotation),
    ("keys", "old", an_old_key),
    ("default_accounts", "unsafe", a_blank_password),
    ("default_accounts", "unsafe", a_clear_password),
    ("default_accounts", "superuser", a_superuser),
    ("dormant_accounts", "dormant", nobody_comes),
    ("sessions", "lasting", a_session_for_ever),
    ("duties", "operator_inside", an_operator_inside),
    ("duties", "unheld", no_auditor),
    ("recorded", "unrecorded", a_request_without_events),
    ("deletion_clock", "overdue", an_overdue_deletion),
    ("deletion_clock", "late", a_late_deletion),
    ("erased", "left", a_key_that_came_back),
    ("holds", "alone", a_hold_of_one_person),
    ("exports", "unswept", an_export_that_stayed),
]


@pytest.mark.parametrize(("name", "problem", "stage"), FAILURES)
def test_what_is_wrong_is_found(
    name: str, problem: str, stage: Stage, alice: Member, acme: Tenant
) -> None:
    stage(acme)
    assert found(name, acme).problem == problem
    runs.run_for_platform() if CHECKS[name].reach is Reach.GENERAL else runs.run_for_tenant(acme)
    failed = {b.evidence.check.name for b in overview_of(acme).blockers}
    assert name in failed
    red = [line.clause for line in overview_of(acme).lines if line.state == ClauseState.PROBLEM]
    assert {c.number for c in CLAUSES if name in c.checks} <= {c.number for c in red}


@pytest.mark.parametrize(("name", "problem", "setting", "value"), [
    ("second_factors", "optional", "SECOND_FACTOR", "optional"),
    ("passwords", "weak_taken", "AUTH_PASSWORD_VALIDATORS", []),
    ("lockouts", "no_lock", "AUTHENTICATION_BACKENDS", ["x.y.Backend"]),
    ("browsers", "no_tls", "PUBLIC_URL", "http://10.0.0.1"),
    ("browsers", "loosened", "SESSION_COOKIE_HTTPONLY", False),
    ("hops", "clear", "REDIS_URL", "redis://redis.example:6379/0"),
    ("sessions", "no_limit", "MIDDLEWARE", []),
])  # fmt: skip
def test_loosened_settings_are_found(
    name: str, problem: str, setting: str, value: Any, settings: Any, acme: Tenant
) -> None:
    setattr(settings, setting, value)
    assert found(name, acme).problem == problem


def test_grpc_to_other_machines_wants_tls(settings: Any, acme: Tenant) -> None:
    settings.GRPC_PORT, settings.HOST = 50051, "0.0.0.0"
    assert (found("hops").problem, found("hops").figures["grpc"]) == ("clear", "clear")
    settings.GRPC_CERTIFICATE = "/etc/forebay/server.crt"
    assert (found("hops").problem, found("hops").figures["grpc"]) == ("", "tls")
    settings.GRPC_CERTIFICATE, settings.HOST = "", "127.0.0.1"
    assert (found("hops").problem, found("hops").figures["grpc"]) == ("", "same_machine")


def test_tls_and_its_cookies_pass(settings: Any, acme: Tenant) -> None:
    settings.PUBLIC_URL = "https://forebay.example"
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    settings.SECURE_HSTS_SECONDS = 31536000
    assert found("browsers").problem == ""


def test_a_second_factor_that_is_missing(settings: Any, alice: Member, bob: Member) -> None:
    settings.SECOND_FACTOR = "required"
    assert found("second_factors", alice.tenant).problem == "missing"
    Authenticator.objects.create(user=alice.user, type=Authenticator.Type.TOTP, data={})
    seen = found("second_factors", alice.tenant)
    assert seen.problem == ""
    assert seen.figures["must"] == seen.figures["enrolled"] == 1


def test_which_profile_is_in_force(acme: Tenant) -> None:
    assert found("profile", acme).problem == "not_mlps"
    _under_mlps(acme)
    assert found("profile", acme).problem == ""


def test_overdue_passwords_are_counted(alice: Member, bob: Member) -> None:
    _under_mlps(alice.tenant)
    User.objects.filter(pk=bob.user_id).update(
        password_changed_at=timezone.now() - timedelta(days=91)
    )
    figures = found("passwords", alice.tenant).figures
    assert (figures["people"], figures["overdue"], figures["share_in_time"]) == (2, 1, 50.0)


def test_two_duties_of_one_role(monkeypatch: pytest.MonkeyPatch, alice: Member) -> None:
    from tenants import roles

    _under_mlps(alice.tenant)
    monkeypatch.setattr(
        "console.compliance.checks.access.permissions",
        lambda role, profile: frozenset(roles.Permission),
    )
    assert found("duties", alice.tenant).problem == "united"
    assert found("role_matrix").problem == "united"


def test_a_cipher_that_does_not_protect(monkeypatch: pytest.MonkeyPatch, acme: Tenant) -> None:
    keyring = SimpleNamespace(of_subject_now=lambda *_: Clear())
    monkeypatch.setattr("console.compliance.checks.keys.keyring", keyring)
    assert found("aead", acme).problem == "opens"


def test_input_that_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.compliance.checks.requests.check_chat", lambda body, engine: None)
    assert found("input").problem == "taken"


def test_a_field_that_nobody_has_thought_about(monkeypatch: pytest.MonkeyPatch) -> None:
    classes = {
        data: fields.replace("email ", "") for data, fields in personal.MAP["tenants.User"].items()
    }
    monkeypatch.setitem(personal.MAP, "tenants.User", classes)
    seen = found("data_map")
    assert seen.problem == "gaps"
    assert seen.figures["found"] == ["tenants.User.email has no class"]


def test_hosted_models_and_who_stays_at_home(
    monkeypatch: pytest.MonkeyPatch, settings: Any, acme: Tenant
) -> None:
    hosted = {"kind": "openai", "url": "https://api.upstream.example/v1", "hosted": True}
    settings.ENGINES = {**settings.ENGINES, "far": hosted}
    forget()
    try:
        assert found("recipients").figures["sub_processors"] == ["far @ api.upstream.example"]
        Tenant.objects.filter(pk=acme.pk).update(local_only=True)
        acme.refresh_from_db()
        seen = found("residency", acme)
        assert (seen.problem, seen.figures["hosted"], seen.figures["local_only"]) == ("", 1, 1)
        monkeypatch.setattr("console.compliance.checks.requests.visible", lambda *_: True)
        assert found("residency", acme).problem == "reached"
    finally:
        settings.ENGINES = {name: e for name, e in settings.ENGINES.items() if name != "far"}
        forget()


@pytest.mark.django_db(transaction=True)
def test_sealed_events_that_were_changed() -> None:
    from audit.proof.seal import seal_due

    acme = Tenant.open("acme", by="test")
    act(Action.SESSION_LOGIN, actor="x", tenant_id=acme.id)
    assert seal_due() >= 2
    for tenant in (None, acme):
        seen = found("trail", tenant)
        assert (seen.problem, seen.figures["seals"] > 0) == ("", True)
    with unguarded():
        sql("update audit_event set actor = 'y' where actor = 'x'")
    for tenant in (None, acme):
        assert found("trail", tenant).problem == "broken_seal"


# Running -----------------------------------------------------------------------------------------
def test_what_a_check_tries_out_is_gone(alice: Member) -> None:
    before = Event.objects.count(), DataKey.objects.count(), alice.tenant.retention_days
    runs.run_for_platform()
    runs.run_for_tenant(alice.tenant)
    alice.tenant.refresh_from_db()
    assert (Event.objects.count(), DataKey.objects.count(), alice.tenant.retention_days) == before


def test_a_check_that_breaks_is_a_problem_and_hinders_no_other(
    monkeypatch: pytest.MonkeyPatch, acme: Tenant
) -> None:
    def broken(tenant: Tenant | None) -> CheckOutcome:
        raise RuntimeError("nothing works")

    check = Check("row_security", Text("x", "x"), Text("x", "x"), broken, {}, Reach.GENERAL)
    monkeypatch.setitem(CHECKS, "row_security", check)
    runs.run_for_platform()
    run = CheckRun.objects.get(name="row_security", tenant_id=None)
    assert (run.ok, run.problem) == (False, BROKEN)
    assert CheckRun.objects.filter(tenant_id=None).count() == len(CHECKS)


def test_the_night(alice: Member, charlie: Member) -> None:
    old = CheckRun.objects.create(name="aead", at=timezone.now() - timedelta(days=1200), ok=True)
    runs.all_night()
    assert not CheckRun.objects.filter(pk=old.pk).exists()
    per_tenant = len(list(runs.of_reach(Reach.EACH)))
    assert CheckRun.objects.count() == len(CHECKS) + 2 * per_tenant


def test_the_beat_has_it() -> None:
    from config.celery import app

    assert "console.check" in [entry["task"] for entry in app.conf.beat_schedule.values()]


# Pages -------------------------------------------------------------------------------------------
def test_blockers_come_first_and_clauses_follow(
    operator: User, alice: Member, sign_in: SignIn
) -> None:
    client = sign_in(operator)
    page = client.get(ALL).content.decode()
    assert "has not run yet" in page
    assert client.post(ALL + "run/").status_code == 302
    page = client.get(ALL).content.decode()
    assert "has not run yet" not in page
    assert page.index("This installation is reached without TLS") < page.index("8.1.2.2")
    assert "Art. 17, 19" in page
    assert "Art. 17, 19" not in client.get(ALL, {"regime": MLPS}).content.decode()
    assert "8.1.4.1 a" not in client.get(ALL, {"regime": GDPR}).content.decode()


def test_tenants_are_apart_whoever_runs_the_check(
    operator: User, sign_in: SignIn, settings: Any
) -> None:
    """An operator's request runs in the system's scope; what it sees there is no gap."""
    settings.DATABASE_SCOPE = "none"  # as in the web process
    sign_in(operator).post(ALL + "run/")
    run = CheckRun.objects.get(name="row_security", tenant_id=None)
    assert (run.ok, run.figures.get("found")) == (True, None)


def test_the_page_in_chinese(carol: Member, sign_in: SignIn) -> None:
    client = sign_in(carol)
    client.post("/i18n/setlang/", {"language": "zh-hans", "next": PAGE})
    runs.run_general_if_old()
    client.post(PAGE + "run/")
    page = client.get(PAGE).content.decode()
    for said in ("身份鉴别", "由客户负责", "数据最小化", "每个请求均有两条审计记录"):
        assert said in page


def test_where_there_was_nothing_to_look_at_the_page_says_so(
    carol: Member, sign_in: SignIn
) -> None:
    client = sign_in(carol)
    runs.run_general_if_old()
    client.post(PAGE + "run/")
    page = client.get(PAGE)
    empty = {one.check.name for one in page.context["standing"].evidence if one.is_empty}
    empty_ones = {"trail", "verified", "backups", "recorded", "erased", "deletion_clock", "drills"}
    assert empty == empty_ones
    assert "nothing to check yet" in page.content.decode()


def test_run_again_at_once_runs_nothing(carol: Member, sign_in: SignIn) -> None:
    client = sign_in(carol)
    client.post(PAGE + "run/")
    number = CheckRun.objects.count()
    client.post(PAGE + "run/")
    assert CheckRun.objects.count() == number > 0


def test_a_check_that_runs_by_a_clock_of_its_own_blocks_no_button(
    operator: User, sign_in: SignIn
) -> None:
    CheckRun.objects.create(name=catalogue_check.NAME, at=timezone.now(), ok=True)
    CheckRun.objects.create(name="aead", at=timezone.now(), ok=True)
    page = sign_in(operator).post(ALL + "run/", follow=True).content.decode()
    assert "The checks have run." in page
    names = CheckRun.objects.filter(tenant_id=None).values_list("name", flat=True)
    assert set(names) == {*CHECKS, catalogue_check.NAME}


def test_a_tenant_sees_nothing_of_another(carol: Member, charlie: Member, sign_in: SignIn) -> None:
    for n in range(7):
        join(charlie.tenant, f"person{n}@globex.example", Role.MEMBER)
    runs.all_night()
    client = sign_in(carol)
    page = client.get(PAGE).content.decode()
    assert "globex" not in page
    seen = {name: run for name, run in _runs(client).items() if name == "dormant_accounts"}
    assert seen["dormant_accounts"].figures["people"] == 1
    for check in CHECKS:
        answer = client.get(f"{PAGE}checks/{check}/")
        assert answer.status_code == 200
        assert "globex" not in answer.content.decode()
    assert client.get("/console/t/globex/compliance/").status_code == 404
    assert client.get(ALL).status_code == 403


def _runs(client: Any) -> dict[str, CheckRun]:
    lines = client.get(PAGE).context["standing"].evidence
    return {one.check.name: one.run for one in lines}


def test_postgresql_keeps_results_apart_by_itself(carol: Member, charlie: Member) -> None:
    from tenants.scope import tenant_scope

    runs.all_night()
    with tenant_scope(carol.tenant_id):
        assert set(CheckRun.objects.values_list("tenant_id", flat=True)) == {carol.tenant_id, None}
        general = CheckRun.objects.filter(tenant_id=None).values_list("name", flat=True)
        assert set(general) == {check.name for check in runs.of_reach(Reach.GENERAL)}


def test_who_may_see_it(
    alice: Member, bob: Member, carol: Member, dave: Member, sign_in: SignIn
) -> None:
    status = {m.role: sign_in(m).get(PAGE).status_code for m in (alice, bob, carol, dave)}
    assert status == {"owner": 200, "developer": 403, "auditor": 200, "member": 403}


def test_an_unknown_check_is_nowhere(operator: User, sign_in: SignIn) -> None:
    assert sign_in(operator).get(ALL + "checks/nonsense/").status_code == 404


def test_the_history_of_a_check(operator: User, sign_in: SignIn) -> None:
    runs.run_for_platform()
    runs.run_for_platform()
    page = sign_in(operator).get(ALL + "checks/role_matrix/").content.decode()
    assert page.count("as it should be") == 2
    assert "api_keys:manage" in page


# The report --------------------------------------------------------------------------------------
def verifies(report: dict[str, Any]) -> bool:
    signature = base64.b64decode(report["signature"])
    return signing.is_ours(canonical(report["body"]), signature, PURPOSE)


def made(client: Any, url: str, **form: str) -> Any:
    answer = client.post(url + "report/", form)
    assert answer.status_code == 200
    assert answer["Content-Disposition"].startswith("attachment")
    return answer


def test_a_signed_report(carol: Member, sign_in: SignIn) -> None:
    runs.all_night()
    answer = made(sign_in(carol), PAGE, format="json")
    report = json.loads(answer.content)
    assert verifies(report)
    body = report["body"]
    assert (body["format"], body["tenant"]["name"]) == ("forebay-report/1", "acme")
    assert len(body["clauses"]) == len(CLAUSES)
    assert body["checks"]["aead"]["figures"]["flips_refused"] == 100
    assert body["checks"]["aead"]["label"].keys() == {"en", "zh-hans"}
    event = Event.objects.get(action=Action.COMPLIANCE_REPORT)
    assert (event.tenant_id, event.actor) == (carol.tenant_id, carol.actor)
    assert event.detail["blockers"] == body["blockers"]
    body["checks"]["aead"]["ok"] = False
    assert not verifies(report)


def test_reports_verify_without_the_platform(
    operator: User, sign_in: SignIn, tmp_path: Path, capsys: Any
) -> None:
    """The one-file verifier; any change of either form is found."""
    runs.run_for_platform()
    client, key = sign_in(operator), base64.b64encode(signing.public_key()).decode()
    for shape in ("json", "html"):
        file = tmp_path / f"report.{shape}"
        good = made(client, ALL, format=shape).content
        file.write_bytes(good)
        assert forebay_verify.main(["report", str(file), "--public-key", key]) == 0
        assert forebay_verify.main(["report", str(file)]) == 3
        for bad in (good.replace(b"8.1.4.1", b"8.1.4.9", 1), good.replace(b"asvs-5", b"asvs-9", 1)):
            assert bad != good
            file.write_bytes(bad)
            assert forebay_verify.main(["report", str(file), "--public-key", key]) == 1
        file.write_bytes(good)
        strange = base64.b64encode(bytes(32)).decode()
        assert forebay_verify.main(["report", str(file), "--public-key", strange]) == 1
    file.write_bytes(good.rpartition(b"<!--")[0])
    assert forebay_verify.main(["report", str(file), "--public-key", key]) == 1
    capsys.readouterr()


def test_a_report_of_one_regime(operator: User, sign_in: SignIn) -> None:
    report = json.loads(made(sign_in(operator), ALL, regime=GDPR).content)
    assert {clause["regime"] for clause in report["body"]["clauses"]} == {GDPR}
    assert report["body"]["tenant"] is None


def test_a_report_to_print_carries_the_signed_one(operator: User, sign_in: SignIn) -> None:
    runs.run_for_platform()
    client = sign_in(operator)
    client.post("/i18n/setlang/", {"language": "zh-hans", "next": ALL})
    html = made(client, ALL, format="html").content
    text = html.decode()
    assert "合规报告" in text
    assert "身份鉴别" in text
    inside = re.search(r'id="forebay-report">(.*?)</script>', text, re.S)
    assert inside
    assert verifies(json.loads(inside[1]))
    before, _, last = html.rpartition(b"<!-- forebay-report-html/1 ")
    key_id, signature = last.split()[:2]
    assert key_id.decode() == signing.key_id()
    assert signing.verify(before, base64.b64decode(signature), "report-html")


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_a_report_by_command(acme: Tenant, tmp_path: Path, language: str) -> None:
    key = base64.b64encode(signing.public_key()).decode()
    for tenant in ("", "acme"):
        for shape in ("json", "html"):
            file = tmp_path / f"report{tenant}.{shape}"
            words = ["compliance_report", file, "--tenant", tenant, "--language", language]
            call_command(*map(str, words), "--run", stdout=StringIO())
            assert forebay_verify.main(["report", str(file), "--public-key", key]) == 0
    assert ("合规报告" in file.read_text()) == (language == "zh-hans")
    assert Event.objects.filter(action=Action.COMPLIANCE_REPORT).count() == 4
    with pytest.raises(CommandError):
        call_command("compliance_report", str(file), "--tenant", "nobody")


def test_values_as_people_read_them() -> None:
    with override("zh-hans"):
        told = figures_words.figure_lines(
            {"opened": True, "flips": 1234, "oldest_at": "2026-01-02T03:04:05+00:00"}
        )
    assert told == [("最早", "2026-01-02 03:04"), ("可解密", "是"), ("比特翻转", "1,234")]
    assert settings_.PUBLIC_URL


def test_the_hold_that_keeps_an_old_month_is_named(acme: Tenant, globex: Tenant) -> None:
    an_event_from_long_ago(acme)
    an_event_from_long_ago(globex)
    ends = timezone.now() + timedelta(days=3)
    hold = legal_hold.request(acme.id, by="a", reason="case", expires_at=ends)
    for tenant, told in ((None, str(hold.pk)), (acme, str(hold.pk)), (globex, "another tenant's")):
        seen = found("oldest_row", tenant)
        assert (seen.problem, seen.figures["kept_by"]) == ("", told)
