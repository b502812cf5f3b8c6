"""Figures of a policy on labelled rows, against scikit-learn and against known cases."""

import json
import random
from xml.etree import ElementTree

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score, roc_curve

from inference.decisions.evaluation import costs, drift, plots, probabilities, ranking
from inference.decisions.evaluation.intervals import differences, draws, interval
from inference.decisions.evaluation.ranking import Ranking
from inference.decisions.evaluation.report import Labelled, NoFigures, build
from inference.decisions.spec import Thresholds

pytestmark = pytest.mark.unit
THRESHOLDS = Thresholds(0.3, 0.7, cost_false_alarm=1.0, cost_missed=10.0, cost_review=0.5)


def scored(count: int, seed: int, *, decimals: int = 2) -> tuple[list[float], list[int]]:
    """Returns scores that are true probabilities, with ties, and what happened."""
    chance = random.Random(seed)
    scores = [round(chance.random() ** 2, decimals) for _ in range(count)]
    return scores, [int(chance.random() < score) for score in scores]


@pytest.mark.parametrize("decimals", [1, 2, 9])
def test_figures_of_order_are_scikit_learns(decimals: int) -> None:
    scores, labels = scored(400, decimals, decimals=decimals)
    steps = Ranking.of(scores, labels).steps()
    assert ranking.auc(steps) == pytest.approx(roc_auc_score(labels, scores))
    precision = average_precision_score(labels, scores)
    assert ranking.average_precision(steps) == pytest.approx(precision)
    false_alarms, recall, _thresholds = roc_curve(labels, scores, drop_intermediate=False)
    assert ranking.recall_at(steps) == pytest.approx(recall[false_alarms <= 0.01].max())
    assert probabilities.brier(scores, labels) == pytest.approx(brier_score_loss(labels, scores))


def test_rows_that_are_drawn_twice_count_twice() -> None:
    scores, labels = scored(60, 3)
    counts = draws(60)[0]
    twice = [at for at, many in enumerate(counts) for _ in range(many)]
    again = [scores[at] for at in twice], [labels[at] for at in twice]
    steps = Ranking.of(scores, labels).steps(counts)
    assert ranking.auc(steps) == pytest.approx(roc_auc_score(again[1], again[0]))
    assert ranking.average_precision(steps) == pytest.approx(
        average_precision_score(again[1], again[0])
    )
    assert probabilities.brier(scores, labels, counts) == pytest.approx(
        brier_score_loss(again[1], again[0])
    )


def test_the_calibration_error_is_the_weighted_distance_of_the_bins() -> None:
    scores, labels = [0.05, 0.05, 0.95, 0.95], [0, 1, 1, 1]
    assert probabilities.calibration_error(scores, labels) == pytest.approx(0.5 * 0.45 + 0.5 * 0.05)
    assert probabilities.bins_of([1.0], [1])[0].rows == 1


def test_true_probabilities_are_calibrated() -> None:
    scores, labels = scored(4000, 5)
    assert probabilities.calibration_error(scores, labels) < 0.02
    distorted = [score**3 for score in scores]
    assert probabilities.calibration_error(distorted, labels) > 0.05


def test_each_card_is_counted_once_with_its_highest_score() -> None:
    scores, labels = [0.9, 0.8, 0.7, 0.1], [0, 1, 0, 1]
    cards = ["a", "b", "a", "c"]
    assert ranking.precision_of_groups(scores, labels, cards, 1) == 0.0
    assert ranking.precision_of_groups(scores, labels, cards, 2) == 0.5
    assert ranking.precision_of_groups(scores, labels, cards, 100) == pytest.approx(2 / 3)


def test_costs_count_each_mistake_and_each_review() -> None:
    scores, labels = [0.9, 0.9, 0.5, 0.5, 0.1, 0.1], [1, 0, 1, 0, 1, 0]
    outcomes = costs.Outcomes.of(scores, labels, THRESHOLDS)
    assert outcomes.cost(THRESHOLDS) == 10.0 + 1.0 + 2 * 0.5
    assert (outcomes.rows, outcomes.positives) == (6, 3)


def test_a_score_at_a_threshold_is_above_it() -> None:
    outcomes = costs.Outcomes.of([0.3, 0.7], [0, 0], THRESHOLDS)
    assert (outcomes.reviewed_good, outcomes.blocked_good, outcomes.approved_good) == (1, 1, 0)
    steps = Ranking.of([0.3, 0.7], [0, 1]).steps()
    assert costs.at_threshold(steps, 0.7, THRESHOLDS).accuracy == 1.0
    assert costs.at_threshold(steps, 0.8, THRESHOLDS).recall == 0.0


def test_where_all_alarms_cost_more_than_they_save_never_is_the_cheapest() -> None:
    steps = Ranking.of([0.9, 0.1], [0, 1]).steps()
    dear = Thresholds(0.5, 0.9, cost_false_alarm=100.0, cost_missed=1.0)
    assert costs.cheapest(steps, dear).threshold > 1
    assert costs.cheapest(steps, THRESHOLDS).recall == 1.0


def test_intervals_hold_the_true_value_about_as_often_as_they_say() -> None:
    held = 0
    for seed in range(20):
        scores, labels = scored(120, seed)
        ranked = Ranking.of(scores, labels)
        low, high = interval([ranking.auc(ranked.steps(counts)) for counts in draws(120)[:200]])
        held += low <= 0.8756 <= high  # of a million such rows
    assert 17 <= held <= 20


def test_a_difference_is_drawn_on_the_same_rows() -> None:
    scores, labels = scored(100, 8)
    ranked = Ranking.of(scores, labels)

    def auc(counts: list[int]) -> float:
        return ranking.auc(ranked.steps(counts))

    assert differences(auc, auc, 100) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("moved", "low", "high"), [(0.0, 0.0, 0.02), (0.3, 0.05, 0.2), (1.5, 0.5, 5.0)]
)
def test_the_stability_index_grows_with_the_distance(moved: float, low: float, high: float) -> None:
    numbers = np.random.default_rng(1)
    reference = drift.distribution_of(numbers.normal(0, 1, 3000).tolist())
    index = drift.stability_index(reference, numbers.normal(moved, 1, 3000).tolist())
    assert low <= index <= high


def test_new_words_and_missing_values_are_drift() -> None:
    reference = drift.distribution_of(["shop"] * 90 + ["bank"] * 10)
    assert drift.stability_index(reference, ["shop"] * 9 + ["bank"]) == pytest.approx(0, abs=1e-9)
    assert drift.stability_index(reference, ["casino"] * 5 + ["shop"] * 5) > 0.25
    assert drift.stability_index(reference, [None] * 5 + ["shop"] * 5) > 0.25


def test_of_texts_a_distribution_holds_those_alone_that_the_schema_names() -> None:
    rows = ["Erika Mustermann, Leeds"] * 50 + ["shop"] * 50
    assert "Erika" not in str(drift.distribution_of(rows))
    named = drift.distribution_of(rows, ["shop", "bank"])
    assert named.words == ["shop"]
    assert drift.stability_index(named, ["shop", "somebody else"]) == pytest.approx(0)
    assert drift.stability_index(named, ["shop"] * 9 + ["bank"]) > 0.25


def test_a_distribution_of_one_value_and_of_none_can_be_compared() -> None:
    same = drift.distribution_of([3.0] * 50)
    assert drift.stability_index(same, [3.0] * 20) == pytest.approx(0)
    assert drift.stability_index(same, [2.0] * 20) > 0.25
    assert drift.stability_index(drift.distribution_of([]), [1.0]) > 0.25


def test_a_report_has_each_side_with_intervals_and_is_plain_json() -> None:
    scores, labels = scored(300, 9)
    dull = [0.5 + (score - 0.5) / 4 * random.Random(at).random() for at, score in enumerate(scores)]
    rows = Labelled(labels, [f"card-{at % 40}" for at in range(300)])
    report = build(
        {"policy": "fraud"}, rows, {"policy": scores, "tree": dull}, THRESHOLDS, {"amount": scores}
    )
    assert json.loads(json.dumps(report)) == report
    figures = report["sides"]["policy"]["figures"]
    assert list(figures) == [
        "auc", "average_precision", "recall_at_1_percent", "accuracy", "balanced_accuracy",
        "brier", "calibration_error", "group_precision",
    ]  # fmt: skip
    for figure in figures.values():
        assert figure["low"] <= figure["high"]
    assert figures["auc"]["low"] < figures["auc"]["value"] < figures["auc"]["high"]
    assert report["differences"]["tree"]["auc"]["value"] > 0
    assert report["never"]["accuracy"] == pytest.approx(1 - sum(labels) / 300)
    assert set(report["distributions"]) == {"score", "input.amount"}
    assert len(report["sides"]["policy"]["curve"]) < 130


@pytest.mark.parametrize("label", [0, 1])
def test_rows_of_one_outcome_have_no_report(label: int) -> None:
    with pytest.raises(NoFigures, match="both outcomes"):
        build({}, Labelled([label] * 5), {"policy": [0.5] * 5}, THRESHOLDS)


def test_plots_are_svg_with_escaped_words() -> None:
    scores, labels = scored(200, 4)
    report = build({}, Labelled(labels), {"policy": scores, "model": scores}, THRESHOLDS)
    words = {"score": "Score <p>", "rate": "Rate", "threshold": "T", "cost": "C", "policy": "A & B"}
    for plot in (plots.reliability, plots.costs):
        picture = plot(report, 'What "it" shows', words)
        root = ElementTree.fromstring(picture)
        assert root.get("aria-label") == 'What "it" shows'
        texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
        assert "A & B" in texts
