"""Labelled files put to versions of a decision policy, through queue, worker and engine."""

import asyncio
import random
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.core.exceptions import ValidationError
from django.db import connections

from audit.models import Event
from inference.api.deferred import Wait
from inference.api.evaluations import policies as driver
from inference.api.evaluations.policies import RowFailed
from inference.decisions import evaluating, policies
from inference.decisions.evaluating import File
from inference.decisions.spec import of_json
from inference.models import DecisionPolicyVersion, EvaluationState, PolicyEvaluation, Usage
from inference.models.decisions import policy_evaluation
from tenants.models import ApiKey, Tenant
from tests.inference.api.policy_evaluations.engine_answers import answer_of, score_of
from tests.inference.engine_server import EngineServer
from tests.inference.running import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]
in_database = database_sync_to_async
SPEC: dict[str, Any] = {
    "input_schema": {
        "type": "object",
        "properties": {"amount": {"type": "number", "minimum": 0}, "shop": {"type": "string"}},
        "required": ["amount", "shop"],
    },
    "template": "Payment of {{amount}} to {{shop}}. Fraud?",
    "model": "small",
    "thresholds": {"review": 0.3, "block": 0.8},
}
STUMP = {"features": ["amount"], "intercept": 0.0, "trees": [[[0, 50, 1, 2, 1], [-2], [2]]]}


def a_file(rows: int = 60, seed: int = 1) -> bytes:
    """Returns rows whose frauds have large amounts, most of them."""
    chance = random.Random(seed)
    lines = ["amount,shop,card,fraud"]
    for number in range(rows):
        amount = chance.randrange(100)
        bad = int(chance.random() < (0.7 if amount > 50 else 0.1))
        lines.append(f'{amount},"Tea, Ltd",card-{number % 20},{bad}')
    return "\n".join(lines).encode()


@pytest.fixture
def version(engine: EngineServer, acme: Tenant) -> Any:
    """Makes a version with these fields of its JSON form."""
    engine.beside = answer_of

    async def make(**fields: Any) -> DecisionPolicyVersion:
        def create() -> DecisionPolicyVersion:
            spec = of_json(SPEC | fields)
            return policies.create(acme, "payments", spec, by="member:1").versions.get()

        return await in_database(create)()

    return make


async def begun(
    version: DecisionPolicyVersion, purpose: str = "report", data: bytes | None = None
) -> PolicyEvaluation:
    def begin() -> PolicyEvaluation:
        key, _text = ApiKey.issue(version.tenant, "lab", by="test")
        file = File(data or a_file(), "fraud", "card")
        return evaluating.begin(version, file, purpose, by=key.actor, caller=key)

    return await in_database(begin)()


def _drive() -> None:
    try:
        driver.drive_due()
    finally:
        connections.close_all()


async def drive() -> None:
    """Run in a thread without a loop, as a task does."""
    await asyncio.get_running_loop().run_in_executor(None, _drive)


async def ended(evaluation: PolicyEvaluation) -> PolicyEvaluation:
    async def over() -> bool:
        await drive()
        await in_database(evaluation.refresh_from_db)()
        return evaluation.is_over

    await until(over, 120)
    return evaluation


async def test_a_report_comes_of_the_policys_own_question_and_stays_with_the_version(
    version: Any, engine: EngineServer
) -> None:
    made = await version(tree=STUMP)
    evaluation = await ended(await begun(made))
    assert (evaluation.state, evaluation.error_code) == ("succeeded", "")
    await in_database(made.refresh_from_db)()
    assert made.report == evaluation.report
    report = evaluation.report
    assert report
    assert (report["rows"], set(report["sides"])) == (60, {"policy", "model", "tree"})
    assert report["sides"]["policy"]["figures"]["auc"]["value"] > 0.7
    assert report["sides"]["policy"]["figures"]["group_precision"]["value"] > 0.3
    assert set(report["distributions"]) == {"score", "input.amount", "input.shop"}
    assert len(engine.asked) == 60
    assert {(body["max_tokens"], body["top_logprobs"]) for body in engine.asked} == {(1, 20)}
    classes = await in_database(lambda: set(Usage.objects.values_list("klass", flat=True)))()
    assert classes == {"batch"}


async def test_rows_are_unreadable_at_rest_and_gone_at_the_end(version: Any) -> None:
    """Its report stays, in clear, and has none of their texts."""
    made = await version()
    evaluation = await begun(made)
    assert b"Tea" not in bytes(evaluation.ciphertext or b"")
    rows = await in_database(lambda: evaluating.unpacked(evaluation.rows))()
    assert rows[0].input["shop"] == "Tea, Ltd"
    await ended(evaluation)
    assert (evaluation.ciphertext, evaluation.data_key_id, evaluation.scores) == (None, None, [])
    await in_database(made.refresh_from_db)()
    assert evaluation.report
    assert "Tea" not in str([evaluation.report, made.report])


@pytest.mark.parametrize("purpose", ["temperature", "platt", "stack"])
async def test_a_fit_is_a_new_draft_with_what_the_rows_teach(version: Any, purpose: str) -> None:
    made = await version(tree=STUMP)
    evaluation = await ended(await begun(made, purpose))
    assert (evaluation.state, evaluation.written) == ("succeeded", 2)
    new = await in_database(lambda: made.policy.versions.get(number=2))()
    spec = await in_database(policies.spec_of)(new)
    assert new.state == "draft"
    assert spec.calibration
    assert (spec.calibration.rows, spec.calibration.model) == (60, "small")
    assert (spec.stack is not None) == (purpose == "stack")
    assert spec.calibration.method == ("platt" if purpose == "stack" else purpose)


async def test_another_process_goes_on_where_one_has_died(
    version: Any, engine: EngineServer
) -> None:
    evaluation = await begun(await version())
    rows = await in_database(lambda: evaluating.unpacked(evaluation.rows))()
    scores = [score_of(row.input["amount"]) for row in rows[:40]]
    await in_database(evaluation.note)(scores)  # and dies, with its lease
    await drive()
    assert engine.asked == []
    expired = PolicyEvaluation.objects.filter(pk=evaluation.pk)
    await in_database(expired.update)(leased_until=None)
    await ended(evaluation)
    assert evaluation.state == "succeeded"
    assert len(engine.asked) == 20


async def test_a_failing_engine_makes_it_wait_with_its_rows(
    version: Any, engine: EngineServer
) -> None:
    engine.status = 500
    evaluation = await begun(await version())
    await drive()
    await in_database(evaluation.refresh_from_db)()
    assert (evaluation.state, evaluation.error_code) == (EvaluationState.RUNNING, "")
    assert evaluation.leased_until is None
    assert evaluation.ciphertext


async def test_a_row_that_engines_fail_at_each_time_ends_it(
    version: Any, engine: EngineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows beside it are asked once: after a failure it is asked for alone."""
    monkeypatch.setattr(policy_evaluation, "MOST_FAILURES", 3)
    evaluation, score, amounts = await begun(await version()), driver._score, list[int]()

    async def fails_at_a_row(*arguments: Any) -> float:
        amounts.append(arguments[-1].input["amount"])
        if len(amounts) in (3, 9, 10):
            raise RowFailed(0.0, "engine_failed")
        return await score(*arguments)

    monkeypatch.setattr(driver, "_score", fails_at_a_row)
    for _ in range(3):
        await drive()
        await in_database(PolicyEvaluation.objects.update)(due_at=evaluation.created_at)
    await in_database(evaluation.refresh_from_db)()
    assert (evaluation.state, evaluation.error_code) == ("failed", "engine_failed")
    assert amounts[8:] == [amounts[2]] * 2


async def test_a_row_may_leave_out_an_input_that_has_a_default(
    version: Any, engine: EngineServer
) -> None:
    schema = {**SPEC["input_schema"], "required": ["amount"]}
    schema["properties"] = {**schema["properties"], "shop": {"type": "string", "default": "Kiosk"}}
    lines = a_file().replace(b'"Tea, Ltd"', b"").splitlines()
    evaluation = await ended(
        await begun(await version(input_schema=schema), data=b"\n".join(lines))
    )
    assert (evaluation.state, evaluation.error_code) == ("succeeded", "")
    assert len(engine.asked) == 60
    assert all("to Kiosk" in body["messages"][0]["content"] for body in engine.asked)


async def test_a_row_that_breaks_the_driver_each_time_ends_it(
    version: Any, engine: EngineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows beside it are paid for once, and other evaluations go on."""
    monkeypatch.setattr(policy_evaluation, "MOST_FAILURES", 3)
    head, *lines = a_file().splitlines()
    data = b"\n".join([head, b"101,Tea,card-1,1", *lines])
    evaluation, score, tries = await begun(await version(), data=data), driver._score, list[float]()

    async def breaks(*arguments: Any) -> float:
        amount = arguments[-1].input["amount"]
        if amount < 101:
            return await score(*arguments)
        tries.append(amount)
        raise LookupError("an answer without choices")

    monkeypatch.setattr(driver, "_score", breaks)
    for _ in range(3):
        await drive()
        await in_database(PolicyEvaluation.objects.update)(due_at=evaluation.created_at)
    await in_database(evaluation.refresh_from_db)()
    assert (evaluation.state, evaluation.error_code) == ("failed", "internal_error")
    assert len(tries) == 3
    assert len(engine.asked) < 2 * driver.AT_ONCE


async def test_rows_that_a_limit_let_through_are_not_asked_again(
    version: Any, engine: EngineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be room for fewer rows a minute than are asked at once."""
    evaluation, score, room = await begun(await version()), driver._score, [5]

    async def limited(*arguments: Any) -> float:
        if room[0] == 0:
            raise Wait(60.0)
        room[0] -= 1
        return await score(*arguments)

    monkeypatch.setattr(driver, "_score", limited)
    await drive()
    await in_database(evaluation.refresh_from_db)()
    assert len(evaluation.scores) == len(engine.asked) == 5
    room[0] = 1_000
    await in_database(PolicyEvaluation.objects.update)(due_at=evaluation.created_at)
    await ended(evaluation)
    assert evaluation.state == "succeeded"
    assert len(engine.asked) == 60


async def test_an_answer_without_log_probabilities_ends_it_and_says_so(
    version: Any, engine: EngineServer
) -> None:
    evaluation = await begun(await version())
    engine.beside = lambda _body: None
    await ended(evaluation)
    assert (evaluation.state, evaluation.error_code) == ("failed", "no_score")


async def test_a_cancelled_one_stops_and_asks_no_more(version: Any, engine: EngineServer) -> None:
    evaluation = await begun(await version())
    await in_database(lambda: evaluation.cancel(by="test"))()
    await drive()
    assert engine.asked == []
    assert (evaluation.state, evaluation.ciphertext) == ("cancelled", None)
    actions = Event.objects.filter(action__startswith="evaluation").order_by("id")
    names = await in_database(lambda: list(actions.values_list("action", flat=True)))()
    assert names == ["evaluation:create", "evaluation:cancel"]


@pytest.mark.parametrize("purpose", ["report", "platt"])
async def test_one_that_is_cancelled_at_its_end_leaves_nothing(
    version: Any, monkeypatch: pytest.MonkeyPatch, purpose: str
) -> None:
    evaluation = await begun(made := await version(), purpose)
    for name in ("report_of", "fitted"):
        work = getattr(evaluating, name)

        def cancelled(*arguments: Any, work: Any = work) -> Any:
            PolicyEvaluation.objects.get().cancel(by="test")
            return work(*arguments)

        monkeypatch.setattr(evaluating, name, cancelled)
    await ended(evaluation)
    await in_database(made.refresh_from_db)()
    assert (evaluation.state, evaluation.written, made.report) == ("cancelled", None, None)
    assert await in_database(DecisionPolicyVersion.objects.count)() == 1


@pytest.mark.parametrize(
    ("purpose", "data", "words"),
    [
        ("report", b"amount,shop,card,fraud\n-5,Tea,c,1\n", "Line 2"),
        ("report", b"amount,shop,card,fraud\n5,Tea,c,1\n", "both outcomes"),
        ("report", b"amount,shop,fraud\n5,Tea,1\n", "lacks the column card"),
        ("report", b"shop,card,fraud\nTea,c,1\n", "`input.amount` is missing"),
        ("stack", None, "no tree"),
        ("isotonic", None, "at least 500 rows"),
    ],
)
async def test_what_could_come_to_nothing_is_refused_before_anything_is_asked(
    version: Any, purpose: str, data: bytes | None, words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        await begun(await version(), purpose, data)
