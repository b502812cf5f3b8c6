"""Figures of a report: values by hand, baselines beside them, two models side by side."""

import xml.etree.ElementTree as ET
from math import exp, log

import pytest

from inference.evaluation import plots, report
from inference.evaluation.content import Content, Item, Kind, Options
from inference.evaluation.results import (
    AnswerResult,
    ChoiceResult,
    SideResults,
    TextResult,
    as_json,
    from_json,
    normal,
)

pytestmark = pytest.mark.unit
ABOUT = {"evaluation": "e", "task_set": {"name": "capitals"}}
COLOURS = Content(
    Kind.CHOICES,
    [
        Item(prompt="sky", choices=["blue", "red"], right=0, group="nature"),
        Item(prompt="blood", choices=["blue", "red"], right=1, group="nature"),
        Item(prompt="sea", choices=["blue", "red"], right=0),
        Item(prompt="night", choices=["blue", "red", "black", "green"], right=2),
    ],
)


def side(kind: str, **fields: object) -> SideResults:
    return SideResults("m", kind, versions=["1"], engines=["llama-cpp/here"], **fields)  # type: ignore[arg-type]


def scored(*best: int) -> SideResults:
    """Which choice of each item is the likeliest."""
    choices = []
    for item, chosen in zip(COLOURS.items, best, strict=True):
        scores = [-1.0 if n == chosen else -5.0 for n in range(len(item.choices))]
        choices.append(ChoiceResult(scores, [len(each) for each in item.choices]))
    return side("choices", choices=choices)


def test_accuracy_stands_beside_chance_and_majority() -> None:
    made = report.build(ABOUT, COLOURS, scored(0, 1, 1, 2))
    row = report.figure_in(made, "accuracy")
    assert row
    assert row["candidate"]["value"] == 0.75
    assert row["candidate"]["method"] == "wilson"
    assert row["candidate"]["low"] < 0.75 < row["candidate"]["high"]
    assert row["baselines"] == {"chance": (3 * 0.5 + 0.25) / 4, "majority": 0.5}
    group = report.figure_in(made, "accuracy/nature")
    assert group
    assert (group["candidate"]["value"], group["candidate"]["n"]) == (1.0, 2)


def test_long_choices_count_by_their_length_too() -> None:
    items = [Item(prompt="p", choices=["a", "a much longer one"], right=1)]
    content = Content(Kind.CHOICES, items)
    results = side("choices", choices=[ChoiceResult([-2.0, -6.0], [1, 17])])
    made = report.build(ABOUT, content, results)
    values = {row["name"]: row["candidate"]["value"] for row in made["figures"]}
    assert values == {"accuracy": 0.0, "accuracy_by_length": 1.0}


def test_two_models_have_a_difference_and_an_agreement() -> None:
    made = report.build(ABOUT, COLOURS, scored(0, 1, 1, 2), scored(0, 1, 0, 0))
    row = report.figure_in(made, "accuracy")
    assert row
    assert row["against"]["value"] == 0.75
    assert row["difference"]["value"] == 0.0
    assert row["difference"]["relative"] is False
    assert row["difference"]["low"] <= 0.0 <= row["difference"]["high"]
    assert made["agreement"]["value"] == 0.5


def texts(*losses: float, words: tuple[int, ...] = (1, 2, 2, 3)) -> SideResults:
    results = [TextResult(loss, len(words), 2, 1, 10, list(words), [1, 2, 9, 9]) for loss in losses]
    return side("perplexity", texts=results)


TEXTS = Content(Kind.PERPLEXITY, [Item(text="one text!!"), Item(text="two texts!")])


def test_perplexity_stands_beside_the_frequencies_of_tokens() -> None:
    made = report.build(ABOUT, TEXTS, texts(4 * log(8), 4 * log(2)))
    perplexity = report.figure_in(made, "perplexity")
    assert perplexity
    assert perplexity["candidate"]["value"] == pytest.approx(4.0)
    assert perplexity["better"] == "lower"
    entropy = -(0.25 * log(0.25) * 2 + 0.5 * log(0.5))
    assert perplexity["baselines"] == {"unigram": pytest.approx(exp(entropy), abs=1e-5)}
    bits = report.figure_in(made, "bits_per_byte")
    assert bits
    assert bits["candidate"]["value"] == pytest.approx((4 * 3 + 4 * 1) / 20)
    assert bits["baselines"]["zlib"] > 8  # such short texts grow
    top = report.figure_in(made, "next_token_accuracy")
    assert top
    assert (top["candidate"]["value"], top["baselines"]) == (0.5, {"majority": 0.5})
    assert (made["candidate"]["tokens"], made["candidate"]["outside"]) == (8, 2)


def test_a_text_that_is_impossible_for_a_model_has_a_perplexity_too() -> None:
    """vLLM writes -9999 for a likelihood of 0."""
    figure = report.figure_in(report.build(ABOUT, TEXTS, texts(9999 * 4, 4.0)), "perplexity")
    assert figure
    assert exp(600) < figure["candidate"]["value"] < float("inf")


def test_a_perplexity_differs_in_percent_of_the_other() -> None:
    made = report.build(ABOUT, TEXTS, texts(4.0, 4.0), texts(4.4, 4.4))
    row = report.figure_in(made, "perplexity")
    assert row
    assert row["difference"]["value"] == pytest.approx(exp(-0.1) - 1, abs=1e-5)
    assert row["difference"]["relative"] is True
    assert made["agreement"]["value"] == 1.0


def test_models_that_read_other_tokens_have_no_agreement_on_texts() -> None:
    other = texts(4.0, 4.0, words=(1, 2, 2, 4))
    assert report.build(ABOUT, TEXTS, texts(4.0, 4.0), other)["agreement"] is None


def test_exact_answers_are_compared_as_the_options_say() -> None:
    items = [Item(prompt="Capital of Spain:", answers=["Madrid"]) for _ in range(2)]
    answers = [AnswerResult(" madrid.\n"), AnswerResult("Ｍadrid", is_cut=True)]
    relaxed = report.build(ABOUT, Content(Kind.EXACT, items), side("exact", answers=answers))
    strict = Content(Kind.EXACT, items, Options(match="exact"))
    exact = report.build(ABOUT, strict, side("exact", answers=answers))
    assert relaxed["figures"][0]["candidate"]["value"] == 1.0
    assert exact["figures"][0]["candidate"]["value"] == 0.0
    assert relaxed["figures"][0]["baselines"] == {"majority": 1.0}
    assert relaxed["candidate"]["cut"] == 1
    assert normal("  北京。", "relaxed") == "北京"


def test_a_report_has_no_texts() -> None:
    items = [Item(prompt="the secret question", answers=["the secret answer"])]
    results = side("exact", answers=[AnswerResult("a secret reply")])
    assert "secret" not in str(report.build(ABOUT, Content(Kind.EXACT, items), results))


def test_results_survive_their_way_through_the_record() -> None:
    for results in (scored(0, 1, 1, 2), texts(1.0), side("exact", answers=[AnswerResult("é")])):
        assert from_json(as_json(results)) == results


def test_the_plot_has_a_bar_for_each_model_and_a_dash_for_each_baseline() -> None:
    made = report.build(ABOUT, COLOURS, scored(0, 1, 1, 2), scored(0, 1, 0, 0))
    drawing = ET.fromstring(plots.bars(made, 'Figures of "m" <b>'))  # noqa: S314 (our own)
    tag = "{http://www.w3.org/2000/svg}"
    assert drawing.get("aria-label") == 'Figures of "m" <b>'
    bars = list(drawing.iter(f"{tag}rect"))
    assert len(bars) == 2 * len(made["figures"])
    dashes = [each for each in drawing.iter(f"{tag}line") if each.get("stroke-dasharray")]
    assert len(dashes) == sum(len(row["baselines"]) for row in made["figures"])
