"""A smaller vocabulary: the first words of a byte-pair encoding are an encoding of their own.

Its merges stand in the order in which they were learnt: what is cut off is rarest, and a text takes
somewhat more tokens.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from trainer.base.folder import TOKENIZER_FILES
from trainer.refusals import unusable

_SMALL_FILES = ("chat_template.jinja", "special_tokens_map.json")


def write_smaller_tokenizer(base: Path, folder: Path, size: int) -> list[int]:
    """Writes the tokenizer. Returns the old number of each word that stays, by its new one."""
    document = json.loads((base / "tokenizer.json").read_bytes())
    if document["model"].get("type") != "BPE":
        raise unusable("vocabulary", "Only the vocabulary of a byte-pair encoding can be cut")
    old_numbers = _kept(document, size)
    numbers = {old: new for new, old in enumerate(old_numbers)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(
        json.dumps(_cut(document, numbers), ensure_ascii=False), encoding="utf-8"
    )
    _write_settings(base, folder, numbers)
    for name in (*_SMALL_FILES, *(n for n in TOKENIZER_FILES if n.startswith("LICENSE"))):
        if (base / name).is_file():
            (folder / name).write_bytes((base / name).read_bytes())
    return old_numbers


def _kept(document: dict[str, Any], size: int) -> list[int]:
    """Returns the first words, and of the others the bytes and the special ones."""
    vocabulary = document["model"]["vocab"]
    special = {token["id"] for token in document["added_tokens"]}
    single = {number for word, number in vocabulary.items() if len(word) == 1}
    known = set(vocabulary.values()) | special
    needed = special | single
    rest = sorted(known - needed)[: max(0, size - len(needed))]
    return sorted(needed | set(rest))


def _cut(document: dict[str, Any], numbers: Mapping[int, int]) -> dict[str, Any]:
    model = document["model"]
    words = {word: numbers[old] for word, old in model["vocab"].items() if old in numbers}
    merges = [merge for merge in model["merges"] if _is_known(merge, words)]
    added = [{**token, "id": numbers[token["id"]]} for token in document["added_tokens"]]
    changed = {**document, "model": {**model, "vocab": words, "merges": merges}}
    return {
        **changed, "added_tokens": added,
        "post_processor": _renumbered(document.get("post_processor"), numbers),
    }  # fmt: skip


def _is_known(merge: str | list[str], words: Mapping[str, int]) -> bool:
    first, second = merge.split(" ") if isinstance(merge, str) else merge
    return first in words and second in words and first + second in words


def _renumbered(value: Any, numbers: Mapping[int, int]) -> Any:
    """Returns a post-processor whose templates name tokens by their new numbers."""
    if isinstance(value, dict):
        return {
            key: [numbers[old] for old in part] if key == "ids" else _renumbered(part, numbers)
            for key, part in value.items()
        }
    return [_renumbered(part, numbers) for part in value] if isinstance(value, list) else value


def _write_settings(base: Path, folder: Path, numbers: Mapping[int, int]) -> None:
    """Writes tokenizer_config.json, and generation_config.json with the new numbers."""
    for name in ("tokenizer_config.json", "generation_config.json"):
        if (base / name).is_file():
            settings = renumbered_settings(json.loads((base / name).read_bytes()), numbers)
            (folder / name).write_text(json.dumps(settings, ensure_ascii=False, indent=1))


def renumbered_settings(settings: dict[str, Any], numbers: Mapping[int, int]) -> dict[str, Any]:
    changed = dict(settings)
    for key, value in settings.items():
        if key.endswith("_token_id") and value is not None:
            changed[key] = (
                [numbers[v] for v in value] if isinstance(value, list) else numbers.get(value)
            )
    if "added_tokens_decoder" in settings:
        decoder = settings["added_tokens_decoder"].items()
        changed["added_tokens_decoder"] = {str(numbers[int(old)]): token for old, token in decoder}
    return changed


def cut_embedding(model: Any, kept: list[int]) -> None:
    """Leaves the rows of the words that stay, and gives special words their new numbers."""
    for layer in {model.get_input_embeddings(), model.get_output_embeddings()}:
        layer.weight = torch.nn.Parameter(layer.weight.detach()[kept].clone())
    model.tie_weights()
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    embedding.num_embeddings = head.out_features = len(kept)
    embedding.padding_idx = None
    numbers = {old: new for new, old in enumerate(kept)}
    for config in filter(None, (model.config, getattr(model, "generation_config", None))):
        for key, value in renumbered_settings(config.to_dict(), numbers).items():
            if key.endswith("_token_id"):
                setattr(config, key, value)
    model.config.vocab_size = len(kept)
