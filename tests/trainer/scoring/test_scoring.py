"""Scores of a folder: perplexity, likelihood of choices, exact match, calibrated probabilities."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.trainer.tiny_model import WORDS
from tests.trainer.training.runs import fields
from tests.trainer.warm_trainer import WarmTrainer
from trainer.scoring.calibrator import read_calibrator

pytestmark = pytest.mark.unit  # needs no server

COLOURS = {"river": "blue", "leaf": "green", "coal": "black", "snow": "white"}


def write(path: Path, *items: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return path


@pytest.fixture(scope="module")
def taught(trainer: WarmTrainer, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a model that knows four colours."""
    folder = tmp_path_factory.mktemp("taught")
    lines = [{"text": f"the {thing} is {colour}\n"} for thing, colour in COLOURS.items()] * 8
    random.Random(1).shuffle(lines)
    texts = write(folder / "texts.jsonl", *lines)
    order = fields(base, texts, method="full", epochs=40, patience=0, length=32, batch=2)
    order["data"]["held_out"] = str(texts)
    run = trainer.run(folder, "pretrain", **order)
    assert run.result["held_out_perplexity"] < 2
    return run.output / "model"


def test_a_model_that_knows_nothing_has_the_perplexity_of_its_vocabulary(
    trainer: WarmTrainer, base: Path, tmp_path: Path
) -> None:
    blank = tmp_path / "blank"
    blank.mkdir()
    for path in base.iterdir():
        (blank / path.name).write_bytes(path.read_bytes())
    tensors = {
        name: np.zeros_like(value) for name, value in load_file(base / "model.safetensors").items()
    }
    save_file(tensors, blank / "model.safetensors", metadata={"format": "pt"})
    texts = write(tmp_path / "texts.jsonl", {"text": "whatever the river brings"}, {"text": "数"})
    run = trainer.run(tmp_path, "score", base=str(blank), data={"train": str(texts)})
    assert run.result["figures"]["perplexity"]["value"] == pytest.approx(WORDS, rel=1e-4)


def test_a_base_in_int8_is_scored(trainer: WarmTrainer, taught: Path, tmp_path: Path) -> None:
    made = trainer.run(
        tmp_path / "made", "quantise", base=str(taught), parameters={"format": "int8"}
    )
    tasks = write(
        tmp_path / "tasks.jsonl",
        {"prompt": "the leaf is", "choices": ["green", "blue"], "answer": "green"},
    )
    run = trainer.run(
        tmp_path / "scored", "score", base=str(made.output / "model"), data={"train": str(tasks)}
    )
    assert run.result["figures"]["accuracy"]["value"] == 1


def test_choices_are_ranked_by_their_likelihood(
    trainer: WarmTrainer, taught: Path, tmp_path: Path
) -> None:
    items = [
        {"prompt": f"the {thing} is", "choices": sorted(COLOURS.values()), "answer": colour}
        for thing, colour in COLOURS.items()
    ]
    tasks = write(tmp_path / "tasks.jsonl", *items)
    run = trainer.run(tmp_path, "score", base=str(taught), data={"train": str(tasks)})
    accuracy = run.result["figures"]["accuracy"]
    assert accuracy["value"] == 1
    assert accuracy["baselines"] == {"chance": 0.25, "majority": 0.25}
    assert accuracy["interval"][0] < 1
    report = json.loads((run.output / "report.json").read_text())
    assert (report["kind"], report["items"]) == ("choices", 4)


@pytest.mark.parametrize("choices", [["red", "blue"], ["green and red", "blue"]])
def test_a_file_has_each_items_probability_of_the_second_of_two_choices(
    trainer: WarmTrainer, taught: Path, tmp_path: Path, choices: list[str]
) -> None:
    items = [
        {"prompt": "the river is", "choices": choices, "answer": 1},
        {"prompt": "the river is", "choices": choices[::-1], "answer": 0},
    ]
    tasks = write(tmp_path / "tasks.jsonl", *items)
    run = trainer.run(tmp_path, "score", base=str(taught), data={"train": str(tasks)})
    one, other = json.loads((run.output / "scores.json").read_text())
    assert one > 0.9
    assert other == pytest.approx(1 - one, abs=1e-5)


def test_choices_of_one_token_share_a_pass_over_the_prompt(
    trainer: WarmTrainer, taught: Path, tmp_path: Path
) -> None:
    """Beside a longer choice, which has a pass of its own, both have the same likelihoods."""
    ranks = []
    for name, more in (("short", []), ("long", ["zebra"])):
        items = [
            {"prompt": f"{thing} ", "choices": ["a", "b", "t", *more], "answer": right}
            for thing in COLOURS
            for right in range(3)
        ]
        tasks = write(tmp_path / name / "tasks.jsonl", *items)
        run = trainer.run(tmp_path / name, "score", base=str(taught), data={"train": str(tasks)})
        ranks.append(run.result["figures"]["accuracy"]["value"])
    assert ranks[0] == ranks[1] == pytest.approx(1 / 3)


def test_an_exact_answer_is_the_rest_of_the_line(
    trainer: WarmTrainer, taught: Path, tmp_path: Path
) -> None:
    items: list[dict[str, Any]] = [
        {"prompt": "the river is", "answer": "Blue."},
        {"prompt": "the snow is", "answer": ["pale", "white"]},
        {"prompt": "the coal is", "answer": "green"},
    ]
    tasks = write(tmp_path / "tasks.jsonl", *items)
    run = trainer.run(tmp_path, "score", base=str(taught), data={"train": str(tasks)})
    assert run.result["figures"]["exact_match"]["value"] == pytest.approx(2 / 3)


def test_an_adapter_is_scored_on_its_base(trainer: WarmTrainer, base: Path, tmp_path: Path) -> None:
    lines = [{"text": f"the {thing} is {colour}"} for thing, colour in COLOURS.items()]
    texts = write(tmp_path / "texts.jsonl", *lines * 8)
    order = fields(base, texts, epochs=10, patience=0)
    adapter = trainer.run(tmp_path / "tune", "pretrain", **order).output / "adapter"
    values = {}
    for name, parameters in (("base", {}), ("tuned", {"adapter": str(adapter)})):
        run = trainer.run(
            tmp_path / name, "score", base=str(base), data={"train": str(texts)},
            parameters=parameters,
        )  # fmt: skip
        values[name] = run.result["figures"]["perplexity"]["value"]
    assert values["tuned"] < 0.5 * values["base"]


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_a_calibrator_makes_probabilities_of_scores(
    trainer: WarmTrainer, taught: Path, tmp_path: Path, method: str
) -> None:
    """The model is sure of each colour, and the rows say that it is right in three of four."""
    draw = random.Random(5)

    def rows(count: int) -> list[dict[str, Any]]:
        things = [draw.choice(list(COLOURS)) for _row in range(count)]
        return [
            {
                "prompt": f"the {thing} is", "choices": ["red", COLOURS[thing]],
                "answer": int(draw.random() < 0.75),
            }
            for thing in things
        ]  # fmt: skip

    fitted_on = write(tmp_path / "fit.jsonl", *rows(100))
    judged_on = write(tmp_path / "test.jsonl", *rows(100))
    run = trainer.run(
        tmp_path, "score", base=str(taught), parameters={"calibrate": method},
        data={"train": str(fitted_on), "held_out": str(judged_on)},
    )  # fmt: skip
    assert run.code == 0, run.events[-1]
    report = json.loads((run.output / "report.json").read_text())
    error = "expected_calibration_error"
    assert report["calibrated"][error] < 0.5 * report["scores"][error]
    path = run.output / "calibrator" / "calibrator.json"
    calibrator = read_calibrator(path)
    assert 0.5 < calibrator(0.999) < 0.95
    assert json.loads(path.read_text())["rows"] == 100
    warned = any(event.get("code") == "few_rows" for event in run.events)
    assert warned == (method == "isotonic")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("{", "broken_line"),
        ("[]", "broken_line"),
        ('{"prompt": "x", "choices": ["a", "b"], "answer": 2}', "broken_task"),
        ('{"prompt": "x", "choices": ["a", "b"], "answer": "c"}', "broken_task"),
        ('{"prompt": "x"}', "broken_task"),
        ('{"prompt": "x", "answer": "y"}', "mixed_tasks"),
    ],
)
def test_a_bad_task_is_named_and_not_quoted(
    trainer: WarmTrainer, base: Path, tmp_path: Path, line: str, code: str
) -> None:
    tasks = write(tmp_path / "tasks.jsonl", {"text": "good"})
    tasks.write_text(tasks.read_text() + line + "\n")
    run = trainer.run(tmp_path, "score", base=str(base), data={"train": str(tasks)})
    assert (run.code, run.error) == (65, code)
    assert run.events[-1]["message"].startswith("Line 2 ")
