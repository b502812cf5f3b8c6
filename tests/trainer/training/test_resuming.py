"""A run that was killed or paused ends as one that ran through: bit for bit."""

import json
import random
import signal
from pathlib import Path

import pytest

from tests.trainer.process import Run
from tests.trainer.tiny_model import write_texts
from tests.trainer.training.runs import fields, metrics, train_losses, weights
from tests.trainer.warm_trainer import WarmTrainer

pytestmark = pytest.mark.unit  # needs no server

LONG = {"epochs": 10, "save_every": 5, "micro_batch": 2, "patience": 0}


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("data") / "texts.jsonl", 24)


@pytest.fixture(scope="module", params=["lora", "full"])
def through(
    request: pytest.FixtureRequest,
    trainer: WarmTrainer,
    base: Path,
    texts: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    folder = tmp_path_factory.mktemp("through")
    return trainer.run(folder, "pretrain", **fields(base, texts, method=request.param, **LONG))


def method(run: Run) -> str:
    return "lora" if (run.output / "adapter").exists() else "full"


def is_same(one: Run, other: Run) -> bool:
    kind = "adapter" if method(one) == "lora" else "model"
    return metrics(one) == metrics(other) and weights(one, kind) == weights(other, kind)


def test_killed_at_random_steps(
    trainer: WarmTrainer, base: Path, texts: Path, tmp_path: Path, through: Run
) -> None:
    order = fields(base, texts, method=method(through), **LONG)
    kills, steps = random.Random(7), 0
    for _kill in range(3):
        process = trainer.start(tmp_path, "pretrain", **order)
        process.until("metric", steps + kills.randint(4, 9))
        process.signal(signal.SIGKILL)
        killed = process.end()
        assert killed.code == -signal.SIGKILL
        steps = len(metrics(killed))
    run = trainer.run(tmp_path, "pretrain", **order)
    assert any(event.get("code") == "resumed" for event in run.events)
    assert is_same(run, through)


def test_paused_again_and_again(
    trainer: WarmTrainer, base: Path, texts: Path, tmp_path: Path, through: Run
) -> None:
    order = fields(base, texts, method=method(through), **LONG)
    steps: list[int] = []
    for _pause in range(4):
        process = trainer.start(tmp_path, "pretrain", **order)
        process.until("metric", len(steps) * 4 + 3)
        process.signal(signal.SIGTERM)
        run = process.end()
        assert run.code == 75
        steps.append(metrics(run)[-1]["step"])
    assert steps == sorted(steps)
    assert steps[0] < steps[-1]
    assert is_same(trainer.run(tmp_path, "pretrain", **order), through)


def test_a_checkpoint_that_a_kill_cut_off_is_not_taken(
    trainer: WarmTrainer, base: Path, texts: Path, tmp_path: Path, through: Run
) -> None:
    order = fields(base, texts, method=method(through), **LONG)
    process = trainer.start(tmp_path, "pretrain", **order)
    process.until("checkpoint")
    process.signal(signal.SIGKILL)
    process.end()
    part = tmp_path / "checkpoints" / "step-000099.part"
    part.mkdir()
    (part / "state.json").write_text("{")
    assert is_same(trainer.run(tmp_path, "pretrain", **order), through)
    assert not part.exists()


def test_other_threads_do_not_change_the_sums(
    trainer: WarmTrainer, base: Path, texts: Path, tmp_path: Path, through: Run
) -> None:
    order = fields(base, texts, method=method(through), **LONG)
    process = trainer.start(tmp_path, "pretrain", **order)
    process.until("checkpoint")
    process.signal(signal.SIGTERM)
    assert process.end().code == 75
    run = trainer.run(tmp_path, "pretrain", **order, threads=2)
    assert any(event.get("code") == "threads" for event in run.events)
    assert is_same(run, through)


def test_another_order_does_not_go_on_from_its_checkpoints(
    trainer: WarmTrainer, base: Path, texts: Path, tmp_path: Path
) -> None:
    trainer.run(tmp_path, "pretrain", **fields(base, texts, epochs=1))
    run = trainer.run(tmp_path, "pretrain", **fields(base, texts, epochs=2))
    assert (run.code, run.error) == (64, "changed_order")


@pytest.mark.parametrize("is_split", [False, True])
def test_it_goes_on_without_rows_that_have_left_its_data(
    trainer: WarmTrainer, base: Path, tmp_path: Path, is_split: bool
) -> None:
    """The rows of an erased person do. No file of the run has them any more."""
    paths = {"train": write_texts(tmp_path / "train", 24)}
    if is_split:
        paths["held_out"] = write_texts(tmp_path / "held_out", 3)
    order = fields(base, paths["train"], **LONG)
    order["data"] = {side: str(path) for side, path in paths.items()}
    process = trainer.start(tmp_path, "pretrain", **order)
    process.until("metric", 6)
    process.signal(signal.SIGTERM)
    assert process.end().code == 75
    data = tmp_path / "checkpoints" / "data"
    before = {path: path.stat().st_size for path in data.glob("*/tokens")}
    held_out = (data / "held_out.lines").read_bytes()
    for path in paths.values():
        path.write_text("".join(path.read_text().splitlines(keepends=True)[2:]))
    process = trainer.start(tmp_path, "pretrain", **order)
    process.until("metric", 9)
    process.signal(signal.SIGTERM)
    paused = process.end()
    assert [e["code"] for e in paused.events if e["type"] == "message"] == ["fewer_rows", "resumed"]
    assert sum(path.stat().st_size for path in before) < sum(before.values())
    run = trainer.run(tmp_path, "pretrain", **order)
    assert run.code == 0
    assert [event.get("code") for event in run.events].count("fewer_rows") == 1
    steps = [event["step"] for event in metrics(run)]
    assert steps == list(range(len(steps)))
    assert (data / "held_out.lines").read_bytes() == held_out


def test_it_does_not_go_on_with_rows_that_it_did_not_begin_with(
    trainer: WarmTrainer, base: Path, tmp_path: Path
) -> None:
    texts = write_texts(tmp_path / "texts.jsonl", 24)
    order = fields(base, texts, epochs=1)
    trainer.run(tmp_path, "pretrain", **order)
    lines = texts.read_text().splitlines(keepends=True)
    texts.write_text("".join([*lines[2:], lines[0].replace("basin", "river")]))
    run = trainer.run(tmp_path, "pretrain", **order)
    assert (run.code, run.error) == (64, "changed_order")


def test_the_precision_is_tried_once(
    trainer: WarmTrainer, base: Path, texts: Path, tmp_path: Path
) -> None:
    """A look at the clock must not decide it again: sums in bfloat16 are others."""
    order = fields(base, texts, precision="auto", epochs=2)
    process = trainer.start(tmp_path, "pretrain", **order)
    process.until("metric", 3)
    process.signal(signal.SIGTERM)
    assert process.end().code == 75
    path = tmp_path / "checkpoints" / "plan.json"
    plan = json.loads(path.read_text())
    path.write_text(json.dumps({**plan, "bf16": not plan["bf16"]}))
    assert trainer.run(tmp_path, "pretrain", **order).code == 0
    assert json.loads(path.read_text())["bf16"] is not plan["bf16"]


def test_sums_in_bfloat16_are_near_the_others(
    trainer: WarmTrainer, base: Path, texts: Path, tmp_path: Path
) -> None:
    losses = {
        precision: train_losses(
            trainer.run(
                tmp_path / precision, "pretrain",
                **fields(base, texts, precision=precision, epochs=1),
            )
        )
        for precision in ("fp32", "bf16")
    }  # fmt: skip
    assert losses["bf16"] != losses["fp32"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.02)
