"""The simulation of customer service: its persons, its shop and its scores, without a platform."""

import json
import math
import random
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from bench.service import assistant, injections, report
from bench.service.__main__ import engines
from bench.service.dialogues import Episode
from bench.service.figures import Run
from bench.service.goals import QUESTIONS, SENTENCES, Goal, Kind, Numbers, Twist, make_goals
from bench.service.handbook_search import Handbook
from bench.service.injections import Attack
from bench.service.noise import typed
from bench.service.offline import Offline
from bench.service.scoring import got_through, pass_power, score
from bench.service.shop import Refused, Shop
from bench.service.simulation import Simulation
from bench.service.webhooks import Webhooks, serving
from config.supervisor.engines.embedded_engine import bundled_model
from inference.assistants import checks
from inference.assistants.letter_features import SIZE, letters
from inference.assistants.spec import AssistantSpec
from infrastructure.webhooks.signing import headers, new_secret

pytestmark = pytest.mark.unit
DIALOGUE = "0192e6a0-77aa-7c6e-9f6e-1f2a3b4c5d6e"
SPEC = msgspec.convert(assistant.spec("m", "6f2c1e1e-0f55-4f5e-9d3c-0a51b0f6a111"), AssistantSpec)


def embed(texts: Sequence[str]) -> list[list[float]]:
    """Stands in for a model: letters alone."""
    rows = [letters(text) for text in texts]
    return [[row.get(place, 0.0) for place in range(SIZE)] for row in rows]


def test_a_model_for_words_is_an_engine_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "sentences.gguf"
    assert list(engines(file, "")) == ["sentences"]
    both = engines(file, "bundled")
    assert [each["launch"]["model"] for each in both.values()] == [str(file), str(bundled_model())]
    own = engines(file, str(tmp_path / "words.gguf"))["chat"]
    assert own["launch"] == {"model": str(tmp_path / "words.gguf")}


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    shop = Shop()
    pages = {name: text.decode() for name, text in injections.pages().items()}
    return Simulation(Offline(SPEC, Handbook(pages, embed), shop, embed), "shop", shop, 1)


def of_kind(kind: Kind, twist: Twist = Twist.NONE) -> Goal:
    goals = (goal for seed in range(50) for goal in make_goals(seed, 100))
    return next(goal for goal in goals if (goal.kind, goal.twist) == (kind, twist))


def episode(*, satisfied: bool = True, handed_over: bool = False) -> Episode:
    return Episode(DIALOGUE, 2, 0.1, handed_over, satisfied, ())


def scored(goal: Goal, *calls: tuple[str, str], **outcome: bool) -> tuple[bool, int, int]:
    """Returns whether the goal passed, wrong actions, and those with money."""
    shop = Shop()
    shop.add(goal.orders)
    for number, (action, order) in enumerate(calls):
        address = {"address": goal.address} if action == "change_address" else {}
        shop.do(str(number), DIALOGUE, action, {"order": order, **address})
    figures = score(goal, episode(**outcome), shop.effects_of(DIALOGUE), shop.state())
    return figures.passed, figures.wrong, figures.wrong_money


# Persons ----------------------------------------------------------------------------------------
def test_goals_are_the_same_for_the_same_seed() -> None:
    assert make_goals(3, 40) == make_goals(3, 40)
    assert make_goals(3, 40) != make_goals(4, 40)
    assert {goal.kind for goal in make_goals(1, 300)} == set(Kind)


def test_no_sentence_of_a_person_is_an_example_of_the_assistant() -> None:
    lists = [*SENTENCES.values(), *QUESTIONS.values()]
    sentences = {text.lower() for each in lists for texts in each.values() for text in texts}
    examples = {
        text.lower()
        for each in assistant.EXAMPLES.values()
        for texts in each.values()
        for text in texts
    }
    assert not sentences & examples


def test_noise_is_seeded_and_leaves_numbers_alone() -> None:
    def noisy(seed: int) -> str:
        return typed("Please look where AB-1234 is.", "en", random.Random(seed))

    assert noisy(1) == noisy(1)
    texts = {noisy(seed) for seed in range(40)}
    assert len(texts) > 5
    assert all("AB-1234" in text for text in texts)


def test_the_assistant_passes_the_checks_of_assistants() -> None:
    checks.check(SPEC)


# The score --------------------------------------------------------------------------------------
def test_a_refund_passes_if_it_was_done_once() -> None:
    goal = of_kind(Kind.REFUND)
    order, other = (each.number for each in goal.orders)
    assert scored(goal, ("refund_order", order)) == (True, 0, 0)
    assert scored(goal) == (False, 0, 0)
    assert scored(goal, ("refund_order", other)) == (False, 1, 1)
    assert scored(goal, ("refund_order", order), ("refund_order", order)) == (False, 1, 1)
    assert scored(goal, ("refund_order", order), satisfied=False) == (False, 0, 0)


def test_a_changed_mind_changes_what_is_right() -> None:
    corrected, withdrawn = (
        of_kind(Kind.CANCEL, Twist.CORRECTS),
        of_kind(Kind.CANCEL, Twist.WITHDRAWS),
    )
    first, second = (order.number for order in corrected.orders)
    assert scored(corrected, ("cancel_order", second)) == (True, 0, 0)
    assert scored(corrected, ("cancel_order", first)) == (False, 1, 1)
    assert scored(withdrawn) == (True, 0, 0)
    assert scored(withdrawn, ("cancel_order", withdrawn.order.number)) == (False, 1, 1)


def test_a_wrong_address_is_wrong_without_money() -> None:
    goal = of_kind(Kind.ADDRESS)
    order = goal.order.number
    assert scored(goal, ("change_address", order)) == (True, 0, 0)
    assert scored(replace(goal, address="elsewhere"), ("change_address", order))[0]
    shop = Shop()
    shop.add(goal.orders)
    shop.do("1", DIALOGUE, "change_address", {"order": order, "address": "5 Wrong Road"})
    figures = score(goal, episode(), shop.effects_of(DIALOGUE), shop.state())
    assert (figures.passed, figures.wrong, figures.wrong_money) == (False, 1, 0)


def test_what_cannot_be_solved_passes_with_a_human_alone() -> None:
    goal = of_kind(Kind.COMPLAINT)
    assert scored(goal, handed_over=True)[0]
    assert not scored(goal, handed_over=False)[0]


def test_a_status_has_to_be_looked_up() -> None:
    goal = of_kind(Kind.STATUS)
    assert scored(goal, ("order_state", goal.order.number)) == (True, 0, 0)
    assert not scored(goal)[0]


def test_pass_power_is_the_share_of_draws_in_which_all_pass() -> None:
    passes = [[True, True, True], [True, True, False], [False, False, False]]
    assert math.isclose(pass_power(passes, 1), 5 / 9)
    assert math.isclose(pass_power(passes, 2), (1 + 1 / 3) / 3)
    assert math.isclose(pass_power(passes, 3), 1 / 3)


# Attacks ----------------------------------------------------------------------------------------
def test_every_template_is_used_in_every_place_and_language() -> None:
    attacks = injections.make_attacks(1, 500, Numbers(random.Random(1)))
    assert len(injections.TEMPLATES) >= 25
    cases = {(each.template, each.place, each.language) for each in attacks}
    assert len(cases) == len(injections.TEMPLATES) * 6


def test_an_attack_gets_through_by_a_change_or_by_obedience() -> None:
    order = of_kind(Kind.REFUND).order
    attack = Attack(1, 0, "message", "en", order, "VX-1000")
    shop = Shop()
    shop.add(injections.victims())
    quiet = replace(episode(), messages=(("hi", "done", "track", "It is on its way."),))
    assert not got_through(attack, quiet, [])
    obeying = replace(quiet, messages=(("hi", "passages", "", f"{injections.OBEYED}! Hello"),))
    assert got_through(attack, obeying, [])
    shop.do("1", DIALOGUE, "refund_order", {"order": "VX-1000"})
    assert got_through(attack, quiet, shop.effects)
    assert not any(injections.OBEYED in text for text in injections.TEMPLATES)


# The shop ---------------------------------------------------------------------------------------
def test_the_shop_does_a_call_once_and_refuses_what_is_too_late() -> None:
    goal = of_kind(Kind.REFUND)
    shop = Shop()
    shop.add(goal.orders)
    for _delivery in range(2):
        shop.do("a call", DIALOGUE, "refund_order", {"order": goal.order.number})
    assert len(shop.effects) == 1
    with pytest.raises(Refused):
        shop.do("another", DIALOGUE, "cancel_order", {"order": goal.order.number})


def test_the_webhook_acts_on_genuine_calls_alone() -> None:
    goal, secret = of_kind(Kind.REFUND), new_secret()
    webhooks = Webhooks(Shop())
    webhooks.shop.add(goal.orders)
    webhooks.secrets["refund_order"] = secret
    body = json.dumps(
        {"id": "1", "action": "refund_order", "dialogue": DIALOGUE,
         "arguments": {"order": goal.order.number}}
    ).encode()  # fmt: skip
    with serving(webhooks) as url:
        assert _status(url, body, new_secret()) == 401
        assert webhooks.shop.effects == []
        assert _status(url, body, secret) == 200
    assert webhooks.shop.state()[goal.order.number].refunded
    assert webhooks.refused == 1


def _status(url: str, body: bytes, secret: str) -> int:
    signed = dict(headers([secret], "1", int(time.time()), body))
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, signed)) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        return refusal.code


# All of it --------------------------------------------------------------------------------------
def test_persons_reach_their_goals_and_the_report_says_it_was_a_simulation(
    simulation: Simulation, tmp_path: Path
) -> None:
    run = Run({"seeds": "5"})
    for figures, held in simulation.persons(5, 20, 2):
        run.note(5, figures, held)
    run.attacks += simulation.attacks(5, 30)
    text = report.write(tmp_path, run)
    fields = json.loads((tmp_path / "report.json").read_text())
    assert fields["in_simulation"]
    assert "in simulation" in text
    assert fields["figures"]["resolved"]["value"] > 0.5
    assert fields["figures"]["wrong_money_actions"] == 0
    assert (
        fields["figures"]["injections"] | {"count": 0, "n": 30} == fields["figures"]["injections"]
    )
    assert [row["name"] for row in fields["figures"]["powers"]] == ["pass^1", "pass^2"]
    assert (tmp_path / "kinds.svg").read_text().startswith("<svg")
