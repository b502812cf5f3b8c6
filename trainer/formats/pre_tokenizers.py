"""How each family of byte-level tokenizers cuts a text into words: llama.cpp's names and ours."""

from typing import Any

from tokenizers import Regex, pre_tokenizers
from tokenizers.pre_tokenizers import PreTokenizer

from trainer.refusals import unusable

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# Both are published in the tokenizer.json of Llama 3 and of Qwen 2.
LLAMA_3 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + _REST
QWEN_2 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + _REST
_SHAPES: dict[str, tuple[str, ...]] = {
    "smollm": ("digits", "words"),
    "llama-bpe": (LLAMA_3, "bytes"),
    "qwen2": (QWEN_2, "bytes"),
    "gpt-2": ("words",),
}
_ALIASES = {"default": "gpt-2", "gpt2": "gpt-2", "llama3": "llama-bpe", "llama-v3": "llama-bpe"}


def pre_tokenizer(name: str) -> PreTokenizer:
    """Returns the pre-tokenizer of a name in `tokenizer.ggml.pre`."""
    shape = _SHAPES.get(_ALIASES.get(name, name))
    if shape is None:
        raise _unknown(name)
    return pre_tokenizers.Sequence([_part(each) for each in shape])


def _part(word: str) -> PreTokenizer:
    if word == "digits":
        return pre_tokenizers.Digits(individual_digits=True)
    if word in ("words", "bytes"):
        return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=word == "words")
    return pre_tokenizers.Split(Regex(word), "isolated")


def name_of(entry: dict[str, Any] | None) -> str:
    """Returns llama.cpp's name for the `pre_tokenizer` of a tokenizer.json."""
    parts = (entry or {}).get("pretokenizers") or [entry or {}]
    shape = tuple(_word(part) for part in parts)
    for name, each in _SHAPES.items():
        if each == shape:
            return name
    raise _unknown("of this tokenizer.json")


def _word(part: dict[str, Any]) -> str:
    kind = part.get("type")
    if kind == "Digits" and part.get("individual_digits"):
        return "digits"
    if kind == "ByteLevel" and not part.get("add_prefix_space"):
        return "words" if part.get("use_regex", True) else "bytes"
    if kind == "Split" and part.get("behavior") == "Isolated" and not part.get("invert"):
        return str((part.get("pattern") or {}).get("Regex"))
    return str(kind)


def _unknown(name: str) -> Exception:
    known = ", ".join(_SHAPES)
    return unusable(
        "unknown_tokenizer",
        f"Words cannot be cut as the tokenizer {name[:40]} does (known: {known})",
    )
