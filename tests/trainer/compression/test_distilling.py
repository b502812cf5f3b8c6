"""A student that is cut out of its teacher, taught by it, and judged beside it."""

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from tests.trainer.tiny_model import FEED_FORWARD, LAYERS, SENTENCES, WIDTH, WORDS, write_texts
from tests.trainer.training.runs import metrics, weights
from tests.trainer.warm_trainer import WarmTrainer

pytestmark = pytest.mark.unit  # needs no server

SIZE: dict[str, object] = {"layers": 2, "vocabulary": 340, "feed_forward": 48}
QUICK = {"length": 16, "batch": 8, "warm_up": 4, "learning_rate": 1e-2, "precision": "fp32"}


def fields(base: Path, texts: Path, **parameters: object) -> dict[str, Any]:
    given = {**QUICK, "teacher_rate": 1e-2, "teacher_epochs": 2, **parameters}
    return {"base": str(base), "data": {"train": str(texts)}, "parameters": given}


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("data") / "texts.jsonl", 30)


def changed(base: Path, folder: Path, change: dict[str, float]) -> Path:
    """Writes a base whose weights of these names are multiplied."""
    folder.mkdir()
    for path in base.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    tensors = load_file(base / "model.safetensors")
    for name, factor in change.items():
        tensors[name] = tensors[name] * np.float32(factor)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_a_student_learns_from_its_tuned_teacher(
    trainer: WarmTrainer, base: Path, texts: Path, tmp_path: Path
) -> None:
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text(json.dumps({"text": SENTENCES[0]}) + "\n")
    run = trainer.run(tmp_path, "distil", **fields(base, texts, epochs=6, tasks=str(tasks), **SIZE))
    report = json.loads((run.output / "report.json").read_text())
    student = report["sizes"]["student"]
    assert (student["layers"], student["feed_forward"]) == (2, 48)
    assert (report["sizes"]["teacher"]["layers"], report["sizes"]["teacher"]["words"]) == (4, 400)
    assert report["sizes"]["share"] < 0.7
    figures = report["next_tokens"]
    assert figures["tuned_teacher"]["perplexity"] < figures["teacher_before_tuning"]["perplexity"]
    accuracies = [figures[each]["next_token_accuracy"] for each in ("student", "tuned_teacher")]
    assert figures["kept"] == pytest.approx(accuracies[0] / accuracies[1])
    assert 0 < figures["same_next_token"] <= 1
    assert "general knowledge" in report["lost"]
    assert set(report["tasks"]["kept"]) == {"next_token_accuracy"}
    result = run.result
    assert result["held_out_perplexity"] < 0.8 * result["held_out_perplexity_before"]
    steps = [each["step"] for each in metrics(run)]
    assert steps == sorted(set(steps))


def test_the_model_is_whole_with_a_tokenizer_of_its_own(
    trainer: WarmTrainer, base: Path, texts: Path, tmp_path: Path
) -> None:
    run = trainer.run(
        tmp_path, "distil", **fields(base, texts, most_steps=2, teacher_epochs=0, **SIZE)
    )
    folder = run.output / "model"
    assert run.result["model"] == str(folder)
    tensors, config = (
        load_file(folder / "model.safetensors"),
        json.loads((folder / "config.json").read_text()),
    )
    assert tensors["model.embed_tokens.weight"].shape == (340, WIDTH)
    assert tensors["model.layers.1.mlp.down_proj.weight"].shape == (WIDTH, 48)
    assert config["vocab_size"], config["num_hidden_layers"] == (340, 2)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    text = f"{SENTENCES[1]} Ünïcödé 数 \t and <|im_end|>"
    ids = tokenizer.encode(text).ids
    assert max(ids) < 340
    assert tokenizer.decode(ids, skip_special_tokens=False) == text
    assert (folder / "LICENSE").exists()
    scores = trainer.run(tmp_path / "score", "score", base=str(folder), data={"train": str(texts)})
    assert scores.result["figures"]["perplexity"]["value"] > 1


def test_the_layer_that_does_nothing_goes(
    trainer: WarmTrainer, base: Path, texts: Path, tmp_path: Path
) -> None:
    idle = {
        "model.layers.2.self_attn.o_proj.weight": 0.0, "model.layers.2.mlp.down_proj.weight": 0.0,
    }  # fmt: skip
    lazy = changed(base, tmp_path / "lazy", idle)
    order = fields(lazy, texts, layers=3, teacher_epochs=0, most_steps=1, learning_rate=1e-9)
    run = trainer.run(tmp_path, "distil", **order)
    assert run.result["layers_kept"] == [0, 1, 3]
    assert run.result["next_tokens"]["same_next_token"] == 1
    figures = run.result["next_tokens"]
    assert figures["student"] == pytest.approx(figures["tuned_teacher"])


def test_the_neurons_that_do_nothing_go(
    trainer: WarmTrainer, base: Path, texts: Path, tmp_path: Path
) -> None:
    folder = changed(base, tmp_path / "idle", {})
    tensors = load_file(folder / "model.safetensors")
    for layer in range(LAYERS):
        tensors[f"model.layers.{layer}.mlp.down_proj.weight"][:, : FEED_FORWARD // 2] = 0
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    order = fields(
        folder, texts, layers=4, feed_forward=32, teacher_epochs=0, most_steps=1,
        learning_rate=1e-9,
    )  # fmt: skip
    run = trainer.run(tmp_path, "distil", **order)
    assert run.result["next_tokens"]["same_next_token"] == 1
    assert run.result["sizes"]["student"]["feed_forward"] == 32


@pytest.mark.parametrize("phase", ["teacher", "student"])
def test_a_killed_distillation_goes_on_exactly(
    trainer: WarmTrainer, base: Path, texts: Path, tmp_path: Path, phase: str
) -> None:
    order = fields(base, texts, epochs=3, save_every=4, micro_batch=2, **SIZE)
    through = trainer.run(tmp_path / "through", "distil", **order)
    teacher_steps = 2 * (len(metrics(through)) - 2) // 5
    process = trainer.start(tmp_path / "killed", "distil", **order)
    process.until("metric", 6 if phase == "teacher" else teacher_steps + 6)
    process.signal(signal.SIGKILL)
    assert process.end().code == -signal.SIGKILL
    run = trainer.run(tmp_path / "killed", "distil", **order)
    assert metrics(run) == metrics(through)
    assert weights(run, "model") == weights(through, "model")


def test_a_paused_distillation_goes_on(
    trainer: WarmTrainer, base: Path, texts: Path, tmp_path: Path
) -> None:
    order = fields(base, texts, epochs=3, micro_batch=2, **SIZE)
    process = trainer.start(tmp_path, "distil", **order)
    process.until("metric", 4)
    process.signal(signal.SIGTERM)
    assert process.end().code == 75
    assert trainer.run(tmp_path, "distil", **order).code == 0


@pytest.mark.parametrize(
    ("parameters", "code"),
    [({"layers": LAYERS + 1}, "bad_parameter"), ({"feed_forward": 65}, "bad_parameter"),
     ({"tasks": "/nowhere"}, "bad_parameter")],
)  # fmt: skip
def test_a_student_that_cannot_be_is_refused(
    trainer: WarmTrainer, base: Path, texts: Path, tmp_path: Path,
    parameters: dict[str, object], code: str,
) -> None:  # fmt: skip
    order = fields(base, texts, teacher_epochs=0, **parameters)
    run = trainer.run(tmp_path, "distil", **order)
    assert (run.code, run.error) == (64, code)


def test_the_vocabulary_of_the_base_is_left_alone_without_a_wish(
    trainer: WarmTrainer, base: Path, texts: Path, tmp_path: Path
) -> None:
    order = fields(base, texts, teacher_epochs=0, most_steps=1)
    run = trainer.run(tmp_path, "distil", **order)
    assert run.result["sizes"]["student"]["words"] == WORDS
    assert (run.output / "model" / "tokenizer.json").read_bytes() == (
        base / "tokenizer.json"
    ).read_bytes()
