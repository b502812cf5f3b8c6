"""A byte-level tokenizer: from the metadata of a GGUF to files of Hugging Face, and back."""

import json
from pathlib import Path
from typing import Any

from gguf import GGUFValueType, TokenType
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

from trainer.formats.gguf_header import Field, Header
from trainer.formats.pre_tokenizers import name_of, pre_tokenizer
from trainer.formats.small_files import object_of, optional_object_of
from trainer.formats.whole_files import write_text
from trainer.refusals import unusable

_STRING, _U32, _I32 = GGUFValueType.STRING, GGUFValueType.UINT32, GGUFValueType.INT32
_BOOL, _ARRAY = GGUFValueType.BOOL, GGUFValueType.ARRAY
_PREFIX = "tokenizer.ggml."
_SPECIAL = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
TEMPLATE = "chat_template.jinja"


def save(header: Header, folder: Path) -> None:
    """Writes tokenizer.json and tokenizer_config.json."""
    if (kind := header.need(_PREFIX + "model")) != "gpt2":
        raise unusable(
            "unknown_tokenizer", f"Tokenizers of the kind {str(kind)[:40]} cannot be converted"
        )
    write_text(folder / "tokenizer.json", _tokenizer(header).to_str())
    write_text(folder / "tokenizer_config.json", _json(_config(header)))
    if template := header.get("tokenizer.chat_template"):
        write_text(folder / TEMPLATE, template)


def _tokenizer(header: Header) -> Tokenizer:
    words: list[str] = header.need(_PREFIX + "tokens")
    merges = [tuple(merge.split(" ")) for merge in header.need(_PREFIX + "merges")]
    vocabulary = {word: number for number, word in enumerate(words)}
    if len(vocabulary) != len(words) or any(len(merge) != 2 for merge in merges):
        raise unusable("bad_tokenizer", "The tokenizer has words twice, or broken merges")
    name = header.get(_PREFIX + "pre", "default")
    whole_words = name in ("llama-bpe", "llama3", "llama-v3")
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=whole_words))
    if name == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizer(name)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens(_added(words, header))
    return tokenizer


def _added(words: list[str], header: Header) -> list[AddedToken]:
    types = header.get(_PREFIX + "token_type") or [TokenType.NORMAL] * len(words)
    special = (TokenType.CONTROL, TokenType.UNKNOWN)
    return [
        AddedToken(word, special=type in special, normalized=False)
        for word, type in zip(words, types, strict=True)
        if type in (*special, TokenType.USER_DEFINED)
    ]


def _config(header: Header) -> dict[str, Any]:
    words = header.need(_PREFIX + "tokens")
    numbers = {key: header.get(f"{_PREFIX}{word}_token_id") for key, word in _SPECIAL.items()}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "add_bos_token": bool(header.get(_PREFIX + "add_bos_token", False)),
        "model_max_length": header.get(f"{header.architecture}.context_length", 2048),
        **{key: words[number] for key, number in numbers.items() if number is not None},
    }


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def fields_of(folder: Path, config: dict[str, Any]) -> dict[str, Field]:
    """Returns the metadata of a GGUF that says what the tokenizer files of a folder do."""
    entry = object_of(folder / "tokenizer.json")
    settings = optional_object_of(folder / "tokenizer_config.json")
    model = entry.get("model") or {}
    if model.get("type") != "BPE" or model.get("byte_fallback"):
        raise unusable("unknown_tokenizer", "Only byte-level tokenizers can be converted")
    words, types = _words(model, entry.get("added_tokens") or [], config["vocab_size"])
    merges = [each if isinstance(each, str) else " ".join(each) for each in model["merges"]]
    fields = {
        "model": Field("gpt2", _STRING),
        "pre": Field(name_of(entry.get("pre_tokenizer")), _STRING),
        "tokens": Field(words, _ARRAY, _STRING),
        "token_type": Field(types, _ARRAY, _I32),
        "merges": Field(merges, _ARRAY, _STRING),
        "add_bos_token": Field(_adds_bos(entry, settings), _BOOL),
        "add_space_prefix": Field(False, _BOOL),
    }
    fields |= _special_fields(settings, config, {word: i for i, word in enumerate(words)})
    result = {_PREFIX + name: field for name, field in fields.items()}
    if template := chat_template(folder, settings):
        result["tokenizer.chat_template"] = Field(template, _STRING)
    return result


def _words(
    model: dict[str, Any], added: list[dict[str, Any]], size: int
) -> tuple[list[str], list[int]]:
    """Returns each word and its type; numbers without a word are unused ones."""
    numbers = {number: word for word, number in model["vocab"].items()}
    kinds = dict.fromkeys(numbers, TokenType.NORMAL)
    for each in added:
        numbers[each["id"]] = each["content"]
        kinds[each["id"]] = TokenType.CONTROL if each.get("special") else TokenType.USER_DEFINED
    if max(numbers) >= size:
        raise unusable("bad_tokenizer", "The tokenizer has more words than the model")
    words = [numbers.get(number, f"[PAD{number}]") for number in range(size)]
    return words, [int(kinds.get(number, TokenType.UNUSED)) for number in range(size)]


def _adds_bos(entry: dict[str, Any], settings: dict[str, Any]) -> bool:
    """Says whether a text begins with the word that begins texts."""
    if "add_bos_token" in settings:
        return bool(settings["add_bos_token"])
    processor = entry.get("post_processor") or {}
    parts = [processor, *(processor.get("processors") or [])]
    return any("SpecialToken" in (part.get("single") or [{}])[0] for part in parts)


def _special_fields(
    settings: dict[str, Any], config: dict[str, Any], numbers: dict[str, int]
) -> dict[str, Field]:
    """Returns the numbers of special words: the tokenizer's, or else the model's."""
    fields = {}
    for key, word in _SPECIAL.items():
        content = settings.get(key)
        content = content.get("content") if isinstance(content, dict) else content
        number = numbers.get(content) if content is not None else _first(config.get(f"{key}_id"))
        if number is not None:
            fields[f"{word}_token_id"] = Field(number, _U32)
    return fields


def _first(value: object) -> int | None:
    """Returns the first of several ends, as Llama 3 has them."""
    value = value[0] if isinstance(value, list) and value else value
    return value if isinstance(value, int) else None


def chat_template(folder: Path, settings: dict[str, Any]) -> str | None:
    file = folder / TEMPLATE
    if file.is_file() and file.stat().st_size < (1 << 20):
        return file.read_text(encoding="utf-8")
    template = settings.get("chat_template")
    return template if isinstance(template, str) else None
