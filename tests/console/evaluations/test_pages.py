"""Pages of evaluations: task sets, reports side by side, gates of a pool; and who sees them."""

import json
from typing import Any

import pytest
from django.test import Client

from audit.models import Event
from inference.evaluation.content import Content, Item, Kind
from inference.models import Engine, Evaluation, EvaluationGate, Model, Pool, Replacement
from inference.registry.versions import proposed
from tenants.models import Member, Tenant, User
from tests.console.conftest import SignIn
from tests.console.evaluations.reported import reported, task_set

pytestmark = pytest.mark.django_db
INSIDE = "/console/t/acme/"
LINES = '{"prompt": "Capital of France:", "choices": ["Paris", "Rome"], "answer": "Paris"}\n'
FORM = {
    "name": "capitals",
    "kind": "choices",
    "content": LINES,
    "max_tokens": 32,
    "match": "relaxed",
    "window": 256,
    "test_percent": 100,
}


def test_a_task_set_is_written_and_a_wrong_line_named(sign_in: SignIn, alice: Member) -> None:
    client = sign_in(alice)
    wrong = client.post(f"{INSIDE}task-sets/addition/", {**FORM, "content": LINES + "{"})
    assert "Line 2: it is not JSON." in wrong.content.decode()
    written = client.post(f"{INSIDE}task-sets/addition/", FORM)
    page = client.get(written["Location"]).content.decode()
    assert "capitals@1" in page
    assert "✓ Paris" in page
    refused = client.post(f"{INSIDE}task-sets/addition/", {**FORM, "name": "mmlu"})
    assert "FOREBAY_BENCHMARKS" in refused.content.decode()


def test_an_evaluation_begins_with_the_members_own_limits(sign_in: SignIn, alice: Member) -> None:
    client, tasks = sign_in(alice), task_set(alice.tenant)
    form = client.get(f"{INSIDE}evaluations/addition/")
    model = form.context["form"].fields["model"].choices[0][0]
    begun = client.post(f"{INSIDE}evaluations/addition/", {"task_set": tasks.pk, "model": model})
    row = Evaluation.objects.get()
    assert begun["Location"].endswith(f"evaluations/{row.pk}/")
    assert (row.member, row.subject_id, row.state) == (alice, alice.subject_id, "queued")
    assert 'hx-trigger="every 2s"' in client.get(begun["Location"]).content.decode()
    client.post(f"{INSIDE}evaluations/{row.pk}/cancellation/")
    row.refresh_from_db()
    assert row.state == "cancelled"


def test_a_report_shows_baselines_a_plot_and_another_beside_it(
    sign_in: SignIn, alice: Member
) -> None:
    client = sign_in(alice)
    row = reported(alice.tenant, 18)
    other = reported(alice.tenant, 12, version="q4", task_set=row.task_set)
    stranger = reported(alice.tenant, task_set=task_set(alice.tenant, "others"))
    page = client.get(f"{INSIDE}evaluations/{row.pk}/?beside={other.pk}").content.decode()
    assert "90.0 %" in page
    assert "60.0 %" in page
    assert "by chance: 50.0 %" in page
    assert page.count("<svg xmlns") == 2
    assert str(stranger.pk) in page  # the same items under another name
    assert client.get(f"{INSIDE}evaluations/{row.pk}/?beside=nothing").status_code == 404


def test_a_report_is_a_file_and_that_is_on_record(sign_in: SignIn, alice: Member) -> None:
    client, row = sign_in(alice), reported(alice.tenant)
    html = client.post(f"{INSIDE}evaluations/{row.pk}/file/", {"form": "html"})
    assert html["Content-Disposition"].endswith('.html"')
    assert "<svg" in html.content.decode()
    text = client.post(f"{INSIDE}evaluations/{row.pk}/file/", {"form": "json"})
    assert json.loads(text.content)["format"] == "forebay-evaluation/1"
    assert Event.objects.filter(action="evaluation:export").count() == 2


def test_a_stranger_and_an_operator_see_nothing_of_it(
    sign_in: SignIn, alice: Member, charlie: Member, operator: User
) -> None:
    row = reported(alice.tenant)
    for client, status in ((sign_in(charlie), 404), (sign_in(operator), 403)):
        for page in (f"evaluations/{row.pk}/", f"task-sets/{row.task_set_id}/", "evaluations/"):
            assert client.get(INSIDE + page).status_code == status, page
    own = sign_in(charlie).get(f"/console/t/{charlie.tenant.name}/evaluations/{row.pk}/")
    assert own.status_code == 404
    beside = reported(charlie.tenant)
    theirs = f"/console/t/{charlie.tenant.name}/evaluations/{beside.pk}/"
    assert sign_in(charlie).get(f"{theirs}?beside={row.pk}").status_code == 404
    assert str(row.pk) not in sign_in(charlie).get(theirs).content.decode()


# Gates -------------------------------------------------------------------------------------------
@pytest.fixture
def engine(db: None) -> Engine:
    pool = Pool.add(Model.add("support", by="test"), "support", by="test")
    fields: dict[str, Any] = {"kind": "openai", "url": "http://127.0.0.1:9/v1"}
    return Engine.add(pool, "gpu-1", by="test", options={"version": "f16"}, **fields)


OTHERS = Content(Kind.CHOICES, [Item(prompt=str(n), choices=["a", "b"]) for n in range(20)])


def gate(engine: Engine, row: Evaluation, bound: str, limit: float) -> EvaluationGate:
    fields: dict[str, Any] = {"metric": "accuracy", "bound": bound, "limit": limit}
    fields |= {"task_set_name": row.task_set_name, "sha256": row.sha256}
    return EvaluationGate.add(engine.pool, **fields, by="test")


def begin(engine: Engine, version: str) -> Replacement:
    return Replacement.begin(engine, *proposed(engine, {"version": version}), by="test")


@pytest.mark.parametrize(
    ("bound", "limit", "passes"),
    [
        ("absolute", 0.9, True),
        ("absolute", 0.91, False),
        ("relative", 6.0, True),  # 18 of 20 for 19 of 20: 5.3 % fewer
        ("relative", 5.0, False),
    ],
)
def test_a_gate_lets_in_what_reaches_its_bound(
    engine: Engine, acme: Tenant, bound: str, limit: float, passes: bool
) -> None:
    gate(engine, reported(acme, 18), bound, limit)
    if passes:
        assert begin(engine, "q8").new_name == "gpu-1.q8"
        return
    with pytest.raises(Exception, match=r"accuracy is 0\.9, and must be at least 0\.9"):
        begin(engine, "q8")
    assert Replacement.objects.count() == 0


def test_a_base_that_serves_with_adapters_has_the_reports_of_the_base(
    engine: Engine, acme: Tenant
) -> None:
    gate(engine, reported(acme, 18), "relative", 6.0)
    with_adapters = {"version": "v2", "same_as": {"version": "v2", "of": "f16"}}
    Engine.objects.update(options=with_adapters)
    assert begin(Engine.objects.get(), "q8").new_name == "gpu-1.q8"


def test_a_version_without_a_report_is_refused(engine: Engine, acme: Tenant) -> None:
    row = reported(acme)
    gate(engine, row, "absolute", 0.5)
    with pytest.raises(Exception, match="no report about this version"):
        begin(engine, "q4")
    reported(acme, task_set=task_set(acme, "others", OTHERS), version="q4")
    with pytest.raises(Exception, match="no report about this version"):
        begin(engine, "q4")
    row.remove(by="test")
    with pytest.raises(Exception, match="no report about this version"):
        begin(engine, "q8")


def test_a_refusal_is_on_record_through_the_page_and_the_api(
    engine: Engine, acme: Tenant, operator: User, sign_in: SignIn
) -> None:
    gate(engine, reported(acme, 10), "absolute", 0.9)
    client = sign_in(operator)
    form = {"version": "q8", "warm_ups": 1, "load_within_s": 60}
    page = client.post(f"/console/pools/engines/{engine.pk}/version/", form)
    assert "must be at least 0.9" in page.content.decode()
    path = f"/api/v1/engines/{engine.pk}/replace/"
    answer = client.post(path, {"version": "q8"}, content_type="application/json")
    assert (answer.status_code, "version" in answer.json()["errors"]) == (400, True)
    events = list(Event.objects.filter(action="gate:refuse"))
    assert [event.actor for event in events] == [f"operator:{operator.pk}"] * 2
    for event in events:
        assert event.tenant_id is None
        assert event.detail["reasons"][0].endswith("must be at least 0.9.")
        names = {name: event.detail[name] for name in ("engine", "pool", "version")}
        assert names == {"engine": "gpu-1", "pool": "support", "version": "q8"}
    assert Replacement.objects.count() == 0


def test_the_latest_report_decides(engine: Engine, acme: Tenant) -> None:
    row = reported(acme, 18)
    gate(engine, row, "absolute", 0.8)
    reported(acme, 10, task_set=row.task_set)
    with pytest.raises(Exception, match=r"accuracy is 0\.5"):
        begin(engine, "q8")


def test_operators_add_and_remove_gates(
    client: Client, sign_in: SignIn, operator: User, engine: Engine, acme: Tenant
) -> None:
    client, page = sign_in(operator), f"/console/pools/{engine.pool_id}/gates/"
    row = reported(acme)
    fields = {"task_set_name": "capitals", "sha256": row.sha256, "metric": "accuracy"}
    wrong = client.post(page, {**fields, "bound": "relative", "limit": 200})
    assert "from 0 to 100" in wrong.content.decode()
    assert client.post(page, {**fields, "bound": "relative", "limit": 2}).status_code == 302
    added = EvaluationGate.objects.get()
    assert "capitals" in client.get(page).content.decode()
    client.post(f"{page}{added.pk}/removal/")
    assert not EvaluationGate.objects.exists()
    actions = Event.objects.filter(action__startswith="gate:").order_by("id")
    assert list(actions.values_list("action", flat=True)) == ["gate:add", "gate:remove"]


def test_a_page_without_evaluations_says_it_once_in_one_section(
    sign_in: SignIn, alice: Member
) -> None:
    page = sign_in(alice).get(f"{INSIDE}evaluations/").content.decode()
    assert "No evaluation yet" in page
    assert "Nothing matches." not in page
    assert page.count('aria-current="true"') == 1
    assert "Nothing matches." in sign_in(alice).get(f"{INSIDE}evaluations/?q=none").content.decode()
