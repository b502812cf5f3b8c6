"""A llama of 64 numbers a word and two layers, with random weights and a tokenizer of bytes."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFValueType, GGUFWriter
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers.pre_tokenizers import ByteLevel

WIDTH, INNER, LAYERS, HEADS, KEY_HEADS = 64, 96, 2, 4, 2
LETTERS = sorted(ByteLevel.alphabet())
WORDS = ["<|end|>", "<|user|>", *LETTERS, "th", "the", "Ġthe", "in", "an", "and"]
MERGES = ["t h", "th e", "Ġ the", "i n", "a n", "an d"]
TEMPLATE = "{% for m in messages %}<|user|>{{ m.content }}{% endfor %}"
Weights = dict[str, NDArray[np.float32]]


def weights(seed: int = 1, *, tied: bool = True) -> Weights:
    """Returns weights by the names of llama.cpp."""
    random = np.random.default_rng(seed)

    def matrix(rows: int, columns: int) -> NDArray[np.float32]:
        return random.normal(0, 0.05, (rows, columns)).astype(np.float32)

    keys = WIDTH // HEADS * KEY_HEADS
    named = {"token_embd": (len(WORDS), WIDTH)} | ({} if tied else {"output": (len(WORDS), WIDTH)})
    for layer in range(LAYERS):
        start = f"blk.{layer}."
        named |= {start + f"attn_{part}": (WIDTH, WIDTH) for part in ("q", "output")}
        named |= {start + f"attn_{part}": (keys, WIDTH) for part in "kv"}
        named |= {start + f"ffn_{part}": (INNER, WIDTH) for part in ("gate", "up")}
        named[start + "ffn_down"] = (WIDTH, INNER)
    result = {f"{name}.weight": matrix(*shape) for name, shape in named.items()}
    norms = [f"blk.{n}.{part}_norm" for n in range(LAYERS) for part in ("attn", "ffn")]
    norms.append("output_norm")
    return result | {f"{name}.weight": np.ones(WIDTH, np.float32) for name in norms}


def gguf(
    path: Path,
    tensors: Weights | None = None,
    *,
    architecture: str = "llama",
    without: Iterable[str] = (),
    **more: Any,
) -> Path:
    """Writes the model as a GGUF of F32."""
    writer = GGUFWriter(path, architecture)
    numbers = {
        "block_count": LAYERS,
        "context_length": 128,
        "embedding_length": WIDTH,
        "feed_forward_length": INNER,
        "attention.head_count": HEADS,
        "attention.head_count_kv": KEY_HEADS,
    } | more
    for name, value in numbers.items():
        writer.add_uint32(f"{architecture}.{name}", value)
    writer.add_float32(f"{architecture}.attention.layer_norm_rms_epsilon", 1e-5)
    writer.add_float32(f"{architecture}.rope.freq_base", 10000.0)
    writer.add_name("Tiny")
    _add_tokenizer(writer)
    for name, values in (weights() if tensors is None else tensors).items():
        if name not in without:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: GGUFWriter) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(WORDS)
    types = [3, 3, *[1] * (len(WORDS) - 2)]
    writer.add_key_value(
        "tokenizer.ggml.token_type", types, GGUFValueType.ARRAY, GGUFValueType.INT32
    )
    writer.add_token_merges(MERGES)
    writer.add_eos_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)


def adapter(folder: Path, **more: object) -> Path:
    """Writes a LoRA of rank 4 for q, k and down of the second layer, as peft does."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(3)
    sides = {}
    for module, rows, columns in (
        ("self_attn.q_proj", WIDTH, WIDTH),
        ("self_attn.k_proj", WIDTH // HEADS * KEY_HEADS, WIDTH),
        ("mlp.down_proj", WIDTH, INNER),
    ):
        name = f"base_model.model.model.layers.1.{module}"
        sides[f"{name}.lora_A.weight"] = random.normal(0, 1, (4, columns)).astype(np.float32)
        sides[f"{name}.lora_B.weight"] = random.normal(0, 1, (rows, 4)).astype(np.float32)
    save_file(sides, folder / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "bias": "none"} | more
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder
