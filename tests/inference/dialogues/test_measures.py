"""Figures of customer service: what is resolved, who counts, and when versions differ."""

from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction
from django.utils import timezone

from inference.assistants.state import Ask, Confirm, Done, HandOver, Say, Step, Wait, is_answered
from inference.dialogues import handing_over
from inference.dialogues.measures import report as reports
from inference.dialogues.measures.cohort import Cohort, Narrowing, Outcome
from inference.dialogues.measures.comparison import (
    BETTER,
    CHANCE,
    TOO_FEW,
    WORSE,
    Comparison,
    Measure,
    Sample,
    compared,
)
from inference.dialogues.measures.report import By, ServiceReport, TooMany
from inference.dialogues.measures.span import Span
from inference.models import Assistant, Dialogue, DialogueHandOver, HandOverEnd
from inference.models.assistants.action_call import CallState
from inference.models.assistants.dialogue import MOST_INTENTS
from tenants.models import ApiKey, Tenant
from tests.inference.assistants.rows import an_assistant, shop_content
from tests.inference.dialogues.measured import called, ended
from tests.inference.dialogues.rows import a_dialogue


@pytest.fixture
def key(acme: Tenant) -> ApiKey:
    return ApiKey.issue(acme, "shop", by="test")[0]


def cohort(tenant: Tenant, **fields: Any) -> Cohort:
    last = timezone.now().date()
    return Cohort(tenant.pk, Span(last - timedelta(days=9), last, "UTC"), **fields)


def behind(tenant: Tenant, **narrowing: Any) -> set[Any]:
    return set(Narrowing(**narrowing).of(cohort(tenant).rows).values_list("pk", flat=True))


@pytest.mark.unit
@pytest.mark.parametrize(
    ("step", "answered"),
    [
        (Say("reply"), True),
        (Say("passages"), True),
        (Say("done"), True),
        (Say("refused"), False),
        (Say("nothing"), False),
        (Say("clarify"), False),
        (Ask("order"), False),
        (Confirm("refund", {}), False),
        (HandOver("asked"), False),
        (Done("left"), False),
        (Done(), None),
        (Say("welcome"), None),
        (Wait(), None),
    ],
)
def test_an_answer_after_which_nothing_is_open_counts(step: Step, answered: bool | None) -> None:
    assert is_answered(step) is answered


@pytest.mark.unit
def test_weeks_begin_on_monday_and_days_at_the_tenants_midnight() -> None:
    weekly = Span(date(2026, 11, 25), date(2026, 12, 1), "Asia/Shanghai", weekly=True)
    assert list(weekly.periods()) == [date(2026, 11, 23), date(2026, 11, 30)]
    assert weekly.last_day(date(2026, 11, 30)) == date(2026, 12, 1)
    assert weekly.since.isoformat() == "2026-11-24T16:00:00+00:00"
    assert weekly.until - weekly.since == timedelta(days=7)


@pytest.mark.django_db
def test_what_a_dialogue_notes_for_its_figures(acme: Tenant) -> None:
    dialogue = a_dialogue(acme, "hello")
    dialogue.note_answer("track", is_answered=True)
    dialogue.note_answer("refund", is_answered=None)
    dialogue.note_answer("track", is_answered=None)
    dialogue.refresh_from_db()
    assert (dialogue.intents, dialogue.answered_at is None) == (["track", "refund"], False)
    for number in range(2 * MOST_INTENTS):
        dialogue.note_answer(f"intent {number}", is_answered=False)
    assert (len(dialogue.intents), dialogue.answered_at) == (MOST_INTENTS, None)
    with transaction.atomic():
        handing_over.hand_over(dialogue, "asked", by="test")
    assert Dialogue.objects.get().handed_over_at


@pytest.mark.django_db
def test_each_dialogue_has_one_outcome_and_each_figure_leads_to_its_dialogues(
    acme: Tenant, globex: Tenant
) -> None:
    now = timezone.now()
    plain = ended(acme, intents=["track"], satisfaction=5, turns_count=2)
    confirmed = ended(acme, intents=["track", "refund"], was_resolved=True, resolved_after_s=None)
    objected = ended(acme, was_resolved=False, satisfaction=1)
    gave_up = ended(acme, resolved_after_s=None, turns_count=9, language="zh", answer_s=30)
    handed = ended(acme, handed_over_at=now, channel="widget")
    under_way = ended(acme, changed_at=now)
    ended(acme, turns_count=0), ended(acme, days_ago=40), ended(globex)
    DialogueHandOver.objects.create(
        tenant=acme,
        dialogue=handed,
        reason="asked",
        asked_at=now,
        taken_at=now + timedelta(seconds=20),
        ending=HandOverEnd.RESOLVED,
    )
    called(plain, CallState.SUCCEEDED), called(gave_up, CallState.UNKNOWN, "refund")
    report = ServiceReport(cohort(acme))
    total = report.total
    assert (total.dialogues, total.under_way, total.handed_over) == (5, 1, 1)
    assert (total.resolved, total.confirmed, total.unresolved) == (2, 1, 2)
    assert total.turns == pytest.approx(14 / 5)
    assert total.turns_resolved == 1.5
    assert (total.rated, total.satisfaction) == (2, 3.0)
    assert total.resolve_p50_s == pytest.approx(60)
    assert total.answers == 6
    assert total.answer_p50_s == pytest.approx(2)
    assert sum(figures.dialogues for _day, figures in report.series()) == 5
    assert len(report.series()) == 10
    assert {group.value: group.figures.resolved for group in report.groups(By.INTENT)} == {
        "track": 2,
        "refund": 1,
    }
    languages = {group.value: group.figures for group in report.groups(By.LANGUAGE)}
    assert languages["zh"].dialogues == 1
    assert languages["zh"].answer_p50_s == pytest.approx(30)
    assert len(report.groups(By.VERSION)) == 6, "one for each of their assistants"
    assert [group.value for group in report.groups(By.CHANNEL)] == ["api", "widget"]
    (by_request,) = report.hand_overs()
    assert (by_request.reason, by_request.dialogues, by_request.resolved) == ("asked", 1, 1)
    assert by_request.waited_p50_s == pytest.approx(20)
    assert [(row.action, row.counts["done"], row.counts["unknown"]) for row in report.calls()] == [
        ("find_order", 1, 0),
        ("refund", 0, 1),
    ]
    assert report.ratings() == {5: 1, 4: 0, 3: 0, 2: 0, 1: 1}
    assert behind(acme, outcome=Outcome.RESOLVED) == {plain.pk, confirmed.pk}
    assert behind(acme, outcome=Outcome.CONFIRMED) == {confirmed.pk}
    assert behind(acme, outcome=Outcome.UNRESOLVED) == {objected.pk, gave_up.pk}
    assert behind(acme, outcome=Outcome.UNDER_WAY) == {under_way.pk}
    assert behind(acme, outcome=Outcome.HANDED_OVER) == behind(acme, reason="asked") == {handed.pk}
    assert behind(acme, call="unknown") == behind(acme, action="refund") == {gave_up.pk}
    assert behind(acme, answer_ms=29_000) == behind(acme, turns=9) == {gave_up.pk}
    assert behind(acme, satisfaction=5) == {plain.pk}
    assert behind(acme, resolve_s=59) == {plain.pk}
    assert cohort(acme, intent="refund").rows.get() == confirmed
    assert cohort(acme, channel="widget", language="en", version=1).rows.get() == handed


@pytest.mark.django_db
def test_a_report_over_too_many_dialogues_is_refused(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "MOST_DIALOGUES", 1)
    ended(acme)
    ServiceReport(cohort(acme)).check()
    ended(acme)
    with pytest.raises(TooMany):
        ServiceReport(cohort(acme)).check()


# Versions ----------------------------------------------------------------------------------------
def share(live: tuple[int, int], challenger: tuple[int, int], sign: int = 1) -> Measure:
    samples = (Sample(count, n / count if count else 0) for n, count in (live, challenger))
    return Measure("resolved", sign, *samples)


@pytest.mark.unit
def test_a_difference_is_told_from_chance() -> None:
    assert share((80, 100), (90, 100)).verdict == BETTER
    assert share((90, 100), (80, 100)).verdict == WORSE
    assert share((10, 100), (30, 100), sign=-1).verdict == WORSE
    assert share((80, 100), (84, 100)).verdict == CHANCE
    assert share((0, 29), (29, 29)).verdict == TOO_FEW
    assert share((0, 0), (3, 3)).verdict == TOO_FEW
    turns = Measure("turns", -1, Sample(100, 3.0, 1.0), Sample(100, 2.0, 1.0))
    difference = turns.difference
    assert difference
    assert (turns.verdict, difference.value) == (BETTER, -1.0)
    assert difference.high == pytest.approx(-1 + 1.96 * 0.02**0.5, abs=1e-4)


def _comparison(acme: Tenant, caller: ApiKey, **fields: Any) -> tuple[Assistant, Comparison | None]:
    assistant = an_assistant(acme, caller, name=f"shop-{uuid4()}"[:20])
    since = timezone.now() - timedelta(days=2)
    changes = {"live": 1, "challenger": 2, "challenged_at": since, "challenger_share": 0.5}
    Assistant.objects.filter(pk=assistant.pk).update(**{**changes, **fields})
    assistant.refresh_from_db()
    return assistant, compared(assistant)


@pytest.mark.django_db
def test_each_person_counts_once_since_both_answer(acme: Tenant, key: ApiKey) -> None:
    assistant, nothing = _comparison(acme, key)
    assert nothing
    assert nothing.resolution.verdict == TOO_FEW
    of: dict[str, Any] = {"assistant": assistant.pk}
    ended(acme, **of, person="a", version=2, resolved_after_s=None)
    ended(acme, **of, person="a", version=2, days_ago=0.5)
    first = ended(acme, **of, person="b", version=2, satisfaction=4)
    called(first, CallState.FAILED)
    ended(acme, **of, person="c", version=1, days_ago=5)
    ended(acme, **of, person="d", version=1, handed_over_at=timezone.now())
    ended(acme, person="e", version=1)
    result = compared(assistant)
    assert result
    by_name = {measure.name: measure for measure in result.measures}
    resolved = by_name["resolved"]
    assert (resolved.challenger.count, resolved.challenger.successes) == (2, 1)
    assert (resolved.live.count, resolved.live.successes) == (1, 0)
    assert by_name["handed_over"].live.successes == 1
    assert by_name["action_problem"].challenger.successes == 1
    assert by_name["satisfaction"].challenger == Sample(1, 4.0, 0.0)
    assert by_name["satisfaction"].challenger.estimate is None, "one mark has no interval"
    assert by_name["satisfaction"].live.count == 0


@pytest.mark.django_db
def test_without_a_challenger_there_is_nothing_to_compare(acme: Tenant, key: ApiKey) -> None:
    assert _comparison(acme, key, challenger=None, challenger_share=0.0)[1] is None


@pytest.mark.django_db
def test_a_change_of_either_version_begins_the_comparison_anew(acme: Tenant, key: ApiKey) -> None:
    assistant = an_assistant(acme, key, by="test")
    assistant.write(shop_content(), by="test", caller=key)
    assistant.write(shop_content(), by="test", caller=key)
    assistant.versions.update(state="approved")
    first, second, third = assistant.versions.order_by("number")
    assistant.promote(first, by="test")
    assert assistant.challenged_at is None
    assistant.challenge(second, 0.2, by="test")
    began = assistant.challenged_at
    assert began
    assistant.challenge(second, 0.3, by="test")
    again = assistant.challenged_at
    assert again
    assert again > began
    assistant.promote(third, by="test")
    assert assistant.challenged_at
    assert assistant.challenged_at > again
    assistant.promote(second, by="test")
    assert (assistant.challenger, assistant.challenged_at) == (None, None)
