"""Several processes share each step by FSDP, and come to the same sums as one."""

import signal
from pathlib import Path

import pytest

from tests.trainer.tiny_model import write_texts
from tests.trainer.training.runs import checkpoints, fields, metrics, train_losses, weights
from tests.trainer.warm_trainer import WarmTrainer

pytestmark = [pytest.mark.unit, pytest.mark.slow(seconds=120)]  # needs no server

TWO = {"processes": 2, "epochs": 3, "micro_batch": 2, "save_every": 3, "patience": 0}


@pytest.mark.parametrize("method", ["lora", "full"])
def test_two_processes_train_as_one_does(
    trainer: WarmTrainer, base: Path, tmp_path: Path, method: str
) -> None:
    texts = write_texts(tmp_path / "texts.jsonl", 30)
    one = trainer.run(
        tmp_path / "one",
        "pretrain",
        **fields(base, texts, **{**TWO, "processes": 1}, method=method),
    )
    two = trainer.run(tmp_path / "two", "pretrain", **fields(base, texts, **TWO, method=method))
    assert two.code == 0, two.stderr[-3000:]
    assert [each["step"] for each in metrics(two)] == [each["step"] for each in metrics(one)]
    assert train_losses(two) == pytest.approx(train_losses(one), rel=1e-3)
    assert len([event for event in two.events if event["type"] == "result"]) == 1


def test_two_processes_pause_and_go_on_exactly(
    trainer: WarmTrainer, base: Path, tmp_path: Path
) -> None:
    texts = write_texts(tmp_path / "texts.jsonl", 30)
    order = fields(base, texts, **TWO)
    through = trainer.run(tmp_path / "through", "pretrain", **order)
    process = trainer.start(tmp_path / "paused", "pretrain", **order)
    process.until("metric", 3)
    process.signal(signal.SIGTERM)
    assert process.end().code == 75
    assert checkpoints(tmp_path / "paused")
    run = trainer.run(tmp_path / "paused", "pretrain", **order)
    assert metrics(run) == metrics(through)
    assert weights(run) == weights(through)


def test_what_ends_one_process_ends_the_order(
    trainer: WarmTrainer, base: Path, tmp_path: Path
) -> None:
    texts = tmp_path / "texts.jsonl"
    texts.write_text('{"no": "text"}\n')
    run = trainer.run(tmp_path, "pretrain", **fields(base, texts, **TWO))
    assert (run.code, run.error) == (65, "no_text")
