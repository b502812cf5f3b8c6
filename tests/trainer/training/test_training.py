"""Training on texts and chats, by an adapter and by all weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.trainer.tiny_model import write_chats, write_texts
from tests.trainer.training.runs import (
    checkpoints,
    fields,
    held_out_losses,
    metrics,
    train_losses,
    weights,
)
from tests.trainer.warm_trainer import WarmTrainer

pytestmark = pytest.mark.unit  # needs no server


def test_an_adapter_learns_texts(trainer: WarmTrainer, base: Path, tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts.jsonl", 80)
    run = trainer.run(tmp_path, "pretrain", **fields(base, texts, epochs=4))
    result = run.result
    assert result["held_out_perplexity"] < 0.5 * result["held_out_perplexity_before"]
    assert train_losses(run)[-1] < train_losses(run)[0]
    settings = json.loads((run.output / "adapter" / "adapter_config.json").read_text())
    assert (settings["r"], settings["lora_alpha"]) == (16, 32)
    tensors = load_file(run.output / "adapter" / "adapter_model.safetensors")
    assert len(tensors) == 4 * 7 * 2
    assert (run.output / "adapter.gguf").read_bytes()[:4] == b"GGUF"
    assert np.abs(tensors["base_model.model.model.layers.0.mlp.up_proj.lora_B.weight"]).max() > 0


def test_the_learning_rate_of_each_step_is_told(
    trainer: WarmTrainer, base: Path, tmp_path: Path
) -> None:
    """It rises for the warm-up of four steps, then falls."""
    texts = write_texts(tmp_path / "texts.jsonl", 80)
    run = trainer.run(tmp_path, "pretrain", **fields(base, texts, epochs=4))
    first, *others = metrics(run)
    assert first.get("learning_rate") is None  # nothing has been learned
    rates = [float(each["learning_rate"]) for each in others]
    assert rates[:4] == sorted(rates[:4])
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert 0 < rates[-1] < rates[0] < max(rates) <= 2e-2


def test_all_weights_become_a_model_with_its_tokenizer(
    trainer: WarmTrainer, base: Path, tmp_path: Path
) -> None:
    texts = write_texts(tmp_path / "texts.jsonl")
    run = trainer.run(tmp_path, "pretrain", **fields(base, texts, method="full", epochs=1))
    assert run.result["model"] == str(run.output / "model")
    tuned = load_file(run.output / "model" / "model.safetensors")
    before = load_file(base / "model.safetensors")
    assert tuned.keys() == before.keys()
    assert all((tuned[name] != before[name]).any() for name in tuned)
    assert (run.output / "model" / "tokenizer.json").read_bytes() == (
        base / "tokenizer.json"
    ).read_bytes()
    assert (run.output / "model" / "LICENSE").exists()


def test_a_gguf_is_a_base_too(trainer: WarmTrainer, base: Path, tmp_path: Path) -> None:
    parameters = {"to": "gguf", "dtype": "f32"}
    made = trainer.run(tmp_path / "gguf", "convert", base=str(base), parameters=parameters)
    assert made.code == 0, made.events[-1]
    texts = write_texts(tmp_path / "texts.jsonl")
    runs = [
        trainer.run(tmp_path / name, "pretrain", **fields(folder, texts, epochs=1))
        for name, folder in (("hf", base), ("file", made.output / "model.gguf"))
    ]
    assert train_losses(runs[1]) == pytest.approx(train_losses(runs[0]), rel=1e-4)


def test_it_stops_early_and_gives_back_the_best_weights(
    trainer: WarmTrainer, base: Path, tmp_path: Path
) -> None:
    """Few texts, many epochs and a high rate: what is held out gets worse after some steps."""
    texts = write_texts(tmp_path / "texts.jsonl", 12)
    parameters = {"epochs": 60, "learning_rate": 5e-2, "patience": 2, "method": "full"}
    run = trainer.run(tmp_path, "pretrain", **fields(base, texts, **parameters))
    losses = held_out_losses(run)
    best = losses.index(min(losses))
    assert len(losses) == best + 3
    assert run.result["steps"] < 60 * 2
    assert run.result["best_step"] == best * metrics(run)[-1]["step"] // (len(losses) - 1)
    kept = tmp_path / "checkpoints" / f"step-{run.result['best_step']:06d}" / "model"
    assert (kept / "model.safetensors").read_bytes() == weights(run, "model")


def test_every_checkpoint_is_an_adapter(trainer: WarmTrainer, base: Path, tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts.jsonl")
    run = trainer.run(tmp_path, "pretrain", **fields(base, texts, epochs=4, save_every=2))
    told = [event["folder"] for event in run.events if event["type"] == "checkpoint"]
    assert len(told) >= 4
    folders = [each for each in checkpoints(tmp_path) if each.name != "step-000000"]
    assert {str(folder) for folder in folders} <= set(told)
    for folder in folders:
        assert (folder / "adapter" / "adapter_config.json").exists()
        assert load_file(folder / "adapter" / "adapter_model.safetensors")
    # Only the last two have what a run goes on from: it is three times the adapter.
    assert sum((folder / "state.safetensors").exists() for folder in folders) == 2


def test_only_the_assistants_words_count(trainer: WarmTrainer, base: Path, tmp_path: Path) -> None:
    """The users' words are noise: a loss on them could not fall so far."""
    rng = np.random.default_rng(3)
    noise = ["".join(rng.choice(list("bcdfghjklmnpqrstvwxz"), 12)) for _chat in range(64)]
    chats = [
        [{"role": "user", "content": text}, {"role": "assistant", "content": "yes"}]
        for text in noise
    ]
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps({"messages": chat}) + "\n" for chat in chats))
    parameters = {"epochs": 8, "length": 64, "method": "full"}
    run = trainer.run(tmp_path, "fine-tune", **fields(base, path, **parameters))
    assert run.result["held_out_perplexity"] < 1.2


def test_a_message_of_weight_0_is_not_learnt(
    trainer: WarmTrainer, base: Path, tmp_path: Path
) -> None:
    tokens = {}
    for name, weight in (("one", 0), ("both", 1)):
        words: list[dict[str, object]] = [
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "two", "weight": weight},
            {"role": "user", "content": "three"},
            {"role": "assistant", "content": "four"},
        ]
        folder = tmp_path / name
        folder.mkdir()
        path = folder / "chats.jsonl"
        path.write_text(json.dumps({"messages": words}) + "\n")
        run = trainer.run(folder, "fine-tune", **fields(base, path, epochs=1, length=128))
        tokens[name] = run.result["tokens"]
    assert 0 < tokens["one"] < tokens["both"]


def test_a_content_in_parts_is_learnt_as_its_text(
    trainer: WarmTrainer, base: Path, tmp_path: Path
) -> None:
    tokens = set()
    for name in ("parts", "text"):
        folder = tmp_path / name
        folder.mkdir()
        texts = ("what is it", "a weir\nand a dam")
        contents: list[Any] = [
            [{"type": "text", "text": part} for part in text.split("\n")] for text in texts
        ]
        roles = zip(("user", "assistant"), contents if name == "parts" else texts, strict=True)
        words = [{"role": role, "content": content} for role, content in roles]
        path = folder / "chats.jsonl"
        path.write_text(json.dumps({"messages": words}) + "\n")
        run = trainer.run(folder, "fine-tune", **fields(base, path, epochs=1, length=128))
        tokens.add(run.result["tokens"])
    assert len(tokens) == 1


@pytest.mark.parametrize(
    ("kind", "line", "code"),
    [
        ("pretrain", b'{"text": "half', "broken_line"),
        ("pretrain", b'{"text": "\xff"}', "broken_line"),
        ("pretrain", b'{"text": "\\ud800"}', "broken_text"),
        ("pretrain", b"[" * 100_000, "broken_line"),
        ("pretrain", b'{"words": "none"}', "no_text"),
        ("pretrain", b'{"text": "' + b"x" * (17 << 20) + b'"}', "long_line"),
        ("fine-tune", b'{"text": "no chat"}', "no_messages"),
        ("fine-tune", b'{"messages": [{"role": "user", "content": "hi"}]}', "no_assistant"),
        ("fine-tune", b'{"messages": [{"role": "user"}]}', "broken_message"),
    ],
    ids=lambda value: value[:20].decode(errors="replace") if isinstance(value, bytes) else None,
)
def test_a_bad_line_is_named_and_not_quoted(
    trainer: WarmTrainer, base: Path, tmp_path: Path, kind: str, line: bytes, code: str
) -> None:
    path = write_chats(tmp_path / "data.jsonl", 2)
    if kind == "pretrain":
        write_texts(path, 2)
    path.write_bytes(path.read_bytes() + line + b"\n")
    run = trainer.run(tmp_path, kind, **fields(base, path))
    assert (run.code, run.error) == (65, code)
    assert run.events[-1]["message"].startswith("Line 3 ")
    assert "none" not in run.events[-1]["message"]


def test_data_with_nothing_in_it_is_refused(
    trainer: WarmTrainer, base: Path, tmp_path: Path
) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text("\n\n")
    run = trainer.run(tmp_path, "pretrain", **fields(base, path))
    assert (run.code, run.error) == (65, "no_data")


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("config.json", b'{"model_type": "bert"}', "architecture"),
        ("config.json", b"{", "base_format"),
        ("model.safetensors", None, "base_format"),
        ("model.safetensors", b"\x80\x04pickled", "base_format"),
        ("tokenizer.json", b"{}", "tokenizer"),
    ],
)
def test_an_unusable_base_is_refused(
    trainer: WarmTrainer, base: Path, tmp_path: Path, name: str, content: bytes | None, code: str
) -> None:
    broken = tmp_path / "base"
    broken.mkdir()
    for path in base.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    (broken / name).unlink()
    if content is not None:
        (broken / name).write_bytes(content)
    texts = write_texts(tmp_path / "texts.jsonl", 4)
    run = trainer.run(tmp_path, "pretrain", **fields(broken, texts))
    assert (run.code, run.error) == (69, code)
