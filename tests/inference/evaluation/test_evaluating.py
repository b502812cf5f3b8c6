"""Evaluations of the bundled model: from a row over queue, worker and engine to a report."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import orjson
import pytest
from channels.db import database_sync_to_async

from audit.models import Event
from inference.api.evaluations import driver
from inference.evaluation.cost import reserve
from inference.models import Checkpoint, Completion, Evaluation
from inference.worker.handlers import evaluation as handler
from tenants.models import LedgerEntry
from tests.inference.evaluation.conftest import PATIENCE_S, Lab, figures
from tests.inference.running import until
from tests.inference.scripted import ScriptedEngine

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(900)]
in_database = database_sync_to_async
CAPITALS = [
    ("France", ["Paris", "Rome", "Oslo", "Lima"], 0),
    ("Japan", ["Cairo", "Tokyo", "Paris", "Rome"], 1),
    ("Italy", ["Oslo", "Madrid", "Rome", "Tokyo"], 2),
    ("Spain", ["Lima", "Oslo", "Paris", "Madrid"], 3),
]
QUESTIONS: list[dict[str, Any]] = [
    {"prompt": f"The capital city of {name} is", "choices": choices, "answer": right}
    for name, choices, right in CAPITALS
]
TEXT = "Water flows downhill because of gravity. The river carries sand and stones to the sea."
SHUFFLED = "sea the to stones and sand carries river The. gravity of because downhill flows Water"


@pytest.mark.slow(seconds=30)
async def test_choices_are_weighed_by_the_engine_and_billed(lab: Lab) -> None:
    lab.work()
    task_set = await lab.task_set("choices", QUESTIONS)
    evaluation = await lab.evaluated(task_set)
    accuracy = figures(evaluation)["accuracy"]
    assert accuracy["candidate"]["value"] >= 0.75
    assert accuracy["baselines"]["chance"] == 0.25
    (used,) = await lab.usage()
    assert (used.klass, used.status) == ("evaluation", 200)
    assert evaluation.report
    side = evaluation.report["candidate"]
    assert (side["prompt_tokens"], side["completion_tokens"]) == (
        used.prompt_tokens,
        used.completion_tokens,
    )
    assert side["tokens"] - 3 * len(QUESTIONS) <= side["completion_tokens"] < side["tokens"]
    most = reserve(await in_database(lambda: task_set.content)())
    assert used.prompt_tokens <= most.prompt_tokens
    assert used.completion_tokens <= most.completion_tokens
    assert (evaluation.version, evaluation.percent) == ("q4", 100)
    aside = await in_database(LedgerEntry.objects.filter(kind="settle").first)()
    assert aside
    assert aside.tokens == used.prompt_tokens + used.completion_tokens
    events = Event.objects.exclude(action__startswith="tenant").order_by("id")
    actions = await in_database(lambda: list(events.values_list("action", flat=True)))()
    assert actions == [
        "api_key:create",
        "task_set:create",
        "evaluation:create",
        "completion:received",
        "completion:completed",
        "evaluation:end",
    ]


@pytest.mark.slow(seconds=30)
async def test_a_text_is_more_likely_than_its_words_in_disorder(lab: Lab) -> None:
    lab.work()
    plain, disorder = [
        figures(await lab.evaluated(await lab.task_set("perplexity", [{"text": text}], window=24)))
        for text in (TEXT, SHUFFLED)
    ]
    low, high = (each["perplexity"]["candidate"]["value"] for each in (plain, disorder))
    assert 2 < low < 60 < high
    top = plain["next_token_accuracy"]
    assert top["candidate"]["value"] > top["baselines"]["majority"]
    bits = plain["bits_per_byte"]
    assert bits["candidate"]["value"] < bits["baselines"]["zlib"]


@pytest.mark.slow(seconds=30)
async def test_a_text_may_have_characters_of_several_tokens(lab: Lab) -> None:
    """The likeliest next token after such a token is often a part of a character, too."""
    lab.work()
    rows = [{"text": "简体中文的文档，价格是 5 €，快 × 2.3。"}]
    perplexity = figures(await lab.evaluated(await lab.task_set("perplexity", rows)))["perplexity"]
    assert perplexity["candidate"]["value"] > 1


@pytest.mark.soak
@pytest.mark.slow(seconds=30)
async def test_work_that_is_put_back_goes_on_to_the_same_figures_and_bill(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker stops in the middle of a text; another one reads on."""
    monkeypatch.setattr(handler, "STEP_S", 0.0)  # a piece for each step
    task_set = await lab.task_set("perplexity", [{"text": TEXT}, {"text": f"{TEXT} {TEXT}"}])
    lab.work()
    undisturbed = await lab.evaluated(task_set)
    stopped = await lab.begin(task_set)
    await lab.drive()
    begun = Checkpoint.objects.filter(step__gte=2)
    await until(lambda: in_database(begun.exists)(), PATIENCE_S)
    await lab.stop_work()
    assert await in_database(Completion.objects.open().count)() == 1
    lab.work()
    await lab.ended(stopped)
    assert stopped.report
    assert undisturbed.report
    assert stopped.report["figures"] == undisturbed.report["figures"]
    once, again = await lab.usage()
    assert (again.prompt_tokens, again.completion_tokens) == (
        once.prompt_tokens,
        once.completion_tokens,
    )


@pytest.mark.slow(seconds=30)
async def test_answers_are_compared_and_only_figures_are_reported(lab: Lab) -> None:
    lab.work()
    rows: list[dict[str, Any]] = [
        {"prompt": "The opposite of hot is", "answer": "surely not this"},
        {"prompt": "The capital of France is", "answer": ["paris", "PARIS!"]},
        {
            "messages": [{"role": "user", "content": "What is the capital of France?"}],
            "answer": "surely not this",
        },
    ]
    evaluation = await lab.evaluated(await lab.task_set("exact", rows, max_tokens=1))
    match = figures(evaluation)["exact_match"]["candidate"]
    assert match["n"] == 3
    assert match["value"] == pytest.approx(1 / 3, abs=1e-5)
    assert evaluation.report
    assert evaluation.report["candidate"]["cut"] == 3
    assert "paris" not in str(evaluation.report).lower()


@pytest.mark.slow(seconds=30)
@pytest.mark.parametrize(
    "odd",
    [
        {},
        [1],
        {"prompt_tokens": None},
        {"prompt_tokens": 0, "completion_tokens": 0},
        {"prompt_tokens": -(10**6), "completion_tokens": -(10**6)},
        {"prompt_tokens": 10**12, "completion_tokens": 10**12},
        {"prompt_tokens": 10**18, "completion_tokens": 10**19 - 1},
    ],
)
async def test_impossible_figures_of_an_engine_are_not_billed(lab: Lab, odd: Any) -> None:
    choice = {"text": "the answer is here", "finish_reason": "stop"}
    lab.bench.start(ScriptedEngine([orjson.dumps({"choices": [choice], "usage": odd})]))
    rows = [{"prompt": "Where is the answer?", "answer": "here"}]
    await lab.evaluated(await lab.task_set("exact", rows))
    (used,) = await lab.usage()
    assert (used.prompt_tokens, used.completion_tokens) == (42, 4)


@pytest.mark.slow(seconds=30)
async def test_an_engine_that_never_answers_ends_it(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a slot of the engine, which no higher class could get back for a day."""
    monkeypatch.setattr(handler, "QUESTION_S", 0.2)
    lab.bench.start(ScriptedEngine([600.0]))
    rows = [{"prompt": "Where is the answer?", "answer": "here"}]
    evaluation = await lab.begin(await lab.task_set("exact", rows))
    lab.patience_s = 20.0
    await lab.ended(evaluation)
    assert (evaluation.state, evaluation.error_code) == ("failed", "engine_failed")


@pytest.mark.slow(seconds=20)
async def test_a_version_that_changes_meanwhile_ends_it(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "STEP_S", 0.0)
    evaluation = await lab.begin(await lab.task_set("perplexity", [{"text": TEXT * 5}]))
    lab.work()
    await lab.drive()
    await until(lambda: in_database(Checkpoint.objects.filter(step__gte=1).exists)(), PATIENCE_S)
    await lab.stop_work()
    lab.version = "q8"
    lab.work()
    await lab.ended(evaluation)
    assert (evaluation.state, evaluation.error_code) == ("failed", "version_changed")
    (used,) = await lab.usage()
    assert used.prompt_tokens > 0


async def test_a_removed_task_set_or_an_unknown_model_ends_it(lab: Lab) -> None:
    task_set = await lab.task_set("choices", QUESTIONS)
    unknown = await lab.ended(await lab.begin(task_set, model="nobody"))
    assert (unknown.state, unknown.error_code) == ("failed", "model_not_found")
    gone = await lab.begin(task_set)
    await in_database(task_set.remove)(by="test")
    await in_database(gone.refresh_from_db)()
    await lab.ended(gone)
    assert (gone.state, gone.error_code) == ("failed", "task_set_gone")
    assert await lab.usage() == []


async def test_a_revoked_key_ends_it(lab: Lab) -> None:
    evaluation = await lab.begin(await lab.task_set("choices", QUESTIONS))
    await in_database(lab.key.revoke)(by="test")
    await lab.ended(evaluation)
    assert (evaluation.state, evaluation.error_code) == ("failed", "access_revoked")


async def test_one_of_a_rotated_key_goes_on_with_the_new_one(lab: Lab) -> None:
    await lab.begin(await lab.task_set("choices", QUESTIONS))
    fresh, _text = await in_database(lab.key.rotate)(by="test", overlap=timedelta(0))
    await lab.drive()
    request = await in_database(Completion.objects.open().get)()
    assert request.api_key_id == fresh.pk


@pytest.mark.slow(seconds=20)
async def test_a_cancelled_one_ends_its_request_and_is_billed_what_it_took(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "STEP_S", 0.0)
    rows = [{"text": f"{TEXT} Number {n}."} for n in range(400)]
    evaluation = await lab.begin(await lab.task_set("perplexity", rows))
    lab.work()
    await lab.drive()

    async def has_begun() -> bool:
        await in_database(evaluation.refresh_from_db)()
        return evaluation.done > 0

    await until(has_begun, PATIENCE_S)
    await in_database(evaluation.cancel)(by="test")
    await lab.drive()
    (used,) = await until(lab.usage, PATIENCE_S)
    assert (used.status, used.finish_reason) == (499, "cancelled")
    assert 0 < used.prompt_tokens < 400 * 20
    await in_database(evaluation.refresh_from_db)()
    assert evaluation.due_at is None


@pytest.mark.slow(seconds=30)
async def test_two_drivers_submit_a_side_once(lab: Lab) -> None:
    """As if the first had died between its commit and the note on the row."""
    evaluation = await lab.begin(await lab.task_set("choices", QUESTIONS[:1]))
    await lab.drive()
    rows = Evaluation.objects.filter(pk=evaluation.pk)
    first = await in_database(rows.get)()
    assert first.completion_id
    await in_database(rows.update)(completion_id=None, state="queued")
    lab.work()
    await lab.ended(evaluation)
    assert evaluation.completion_id == first.completion_id
    assert len(await lab.usage()) == 1


@pytest.mark.slow(seconds=30)
@pytest.mark.parametrize("broken", ["collecting.collect", "submitting.begin"])
async def test_one_that_breaks_off_does_not_hold_up_others(
    lab: Lab, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_set = await lab.task_set("choices", QUESTIONS[:1])
    bad, good = await lab.begin(task_set), await lab.begin(task_set, model="unknown")
    if broken == "collecting.collect":
        begun = Evaluation.objects.filter(pk=bad.pk).update
        await in_database(begun)(completion_id=uuid4(), state="running")
    module, name = broken.split(".")
    as_before = getattr(getattr(driver, module), name)

    def breaks_for_one(*given: Any) -> Any:
        if bad in given:
            raise ValueError("a figure that nobody foresaw")
        return as_before(*given)

    monkeypatch.setattr(getattr(driver, module), name, breaks_for_one)
    await lab.ended(good)
    await lab.ended(bad)
    assert (good.error_code, bad.error_code) == ("model_not_found", "internal_error")
