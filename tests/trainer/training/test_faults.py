"""What a run says when it cannot go on; its last checkpoint is whole."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.trainer.tiny_model import write_texts
from tests.trainer.training.runs import checkpoints, fields, metrics, train_losses
from tests.trainer.warm_trainer import WarmTrainer

pytestmark = pytest.mark.unit  # needs no server


def test_a_loss_that_is_no_number_ends_it(trainer: WarmTrainer, base: Path, tmp_path: Path) -> None:
    broken = with_a_broken_word(base, tmp_path / "base")
    texts = write_texts(tmp_path / "texts.jsonl")
    texts.write_text(json.dumps({"text": "~"}) + "\n" + texts.read_text())
    held_out = write_texts(tmp_path / "held_out.jsonl", 4)
    order = fields(broken, texts, batch=1, save_every=1)
    order["data"]["held_out"] = str(held_out)
    run = trainer.run(tmp_path, "pretrain", **order)
    assert (run.code, run.error) == (65, "diverged")
    assert "learning rate" in run.events[-1]["message"]
    steps = len(train_losses(run))
    assert steps > 0
    last = checkpoints(tmp_path)[-1]
    assert last.name == f"step-{steps:06d}"
    assert (last / "state.json").exists()


def with_a_broken_word(base: Path, folder: Path) -> Path:
    """Writes a base that says nothing sensible after the word "~"."""
    folder.mkdir()
    for path in base.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    words = json.loads((base / "tokenizer.json").read_bytes())["model"]["vocab"]
    tensors = load_file(base / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].copy()
    tensors["model.embed_tokens.weight"][words["~"]] = np.nan
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((base / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    return folder


def test_what_cannot_fit_is_refused_with_the_size_that_does(
    trainer: WarmTrainer, base: Path, tmp_path: Path
) -> None:
    texts = write_texts(tmp_path / "texts.jsonl")
    order = fields(base, texts, length=131_072, memory=1024)
    run = trainer.run(tmp_path, "pretrain", **order)
    assert (run.code, run.error) == (71, "out_of_memory")
    fits = run.events[-1]["fits"]
    assert fits["micro_batch"] == 1
    assert 16 <= fits["length"] < 131_072
    again = fields(base, texts, length=fits["length"], memory=1024, epochs=1)
    assert trainer.run(tmp_path / "again", "pretrain", **again).code == 0


def test_memory_that_is_gone_all_the_same_is_told(
    trainer: WarmTrainer, base: Path, tmp_path: Path
) -> None:
    """The limit of the process is what no look at the host's free memory shows."""
    texts = write_texts(tmp_path / "texts.jsonl", 2000)
    order = fields(base, texts, length=2048, batch=16, micro_batch=16)
    process = trainer.start(tmp_path, "pretrain", **order)
    process.until("progress")
    process.limit_memory(64 << 20)
    run = process.end()
    assert (run.code, run.error) == (71, "out_of_memory")
    assert run.events[-1]["fits"] == {"micro_batch": 8}


def test_a_full_disk_leaves_the_last_whole_checkpoint(
    trainer: WarmTrainer, base: Path, tmp_path: Path
) -> None:
    """A limit on the size of files stands for the disk: the kernel refuses the write alike."""
    texts = write_texts(tmp_path / "texts.jsonl", 60)
    order = fields(base, texts, save_every=2, patience=0, epochs=8)
    process = trainer.start(tmp_path, "pretrain", **order)
    process.until("checkpoint", 2)
    process.limit_files(64 << 10)  # less than an adapter, more than the events
    run = process.end()
    assert (run.code, run.error) == (73, "disk_full")
    assert not list((tmp_path / "checkpoints").glob("*.part"))
    assert (checkpoints(tmp_path)[-1] / "state.json").exists()
    run = trainer.run(tmp_path, "pretrain", **order)
    assert run.code == 0
    steps = [each["step"] for each in metrics(run)]
    assert steps == list(range(len(steps)))


@pytest.mark.parametrize("outside", ["../other/model.safetensors", "{tmp}/other/model.safetensors"])
def test_weights_outside_of_the_base_are_not_read(
    trainer: WarmTrainer, base: Path, tmp_path: Path, outside: str
) -> None:
    hostile, other = tmp_path / "base", tmp_path / "other"
    hostile.mkdir()
    other.mkdir()
    for path in base.iterdir():
        (hostile / path.name).write_bytes(path.read_bytes())
    (hostile / "model.safetensors").rename(other / "model.safetensors")
    save_file({"x": np.zeros(1, np.float32)}, hostile / "model-1.safetensors")
    names = load_file(other / "model.safetensors")
    weight_map = dict.fromkeys(names, outside.format(tmp=tmp_path))
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (hostile / "model.safetensors.index.json").write_text(json.dumps(index))
    order = fields(hostile, write_texts(tmp_path / "texts.jsonl"), most_steps=1)
    run = trainer.run(tmp_path / "run", "pretrain", **order)
    assert (run.code, run.error) == (69, "bad_safetensors")
