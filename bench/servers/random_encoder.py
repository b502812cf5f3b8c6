"""A model of BERT's kind with random weights, as a GGUF: for embeddings, or for rankings."""

from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a model. `size` is that of its vectors, `context` the longest text in tokens."""

    layers: int
    size: int
    heads: int
    context: int


TINY = Shape(layers=2, size=32, heads=4, context=64)
MINI_LM = Shape(layers=6, size=384, heads=12, context=512)  # as all-MiniLM-L6 has them
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def write(file: Path, shape: Shape = TINY, *, ranks: bool = False) -> Path:
    """Write the model. Each printable ASCII character is a token of it."""
    letters = [chr(number) for number in range(33, 127)]
    tokens = [*_SPECIAL, *(f"\u2581{letter}" for letter in letters), *letters]
    writer = gguf.GGUFWriter(file, "bert")
    _settings(writer, shape, tokens, ranks=ranks)
    _weights(writer, shape, len(tokens), ranks=ranks)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _settings(writer: gguf.GGUFWriter, shape: Shape, tokens: list[str], *, ranks: bool) -> None:
    writer.add_name("tiny")
    writer.add_type("model")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.size)
    writer.add_feed_forward_length(4 * shape.size)
    writer.add_block_count(shape.layers)
    writer.add_head_count(shape.heads)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.RANK if ranks else gguf.PoolingType.MEAN)
    writer.add_token_type_count(2)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("jina-v2-en")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(_SPECIAL) + [1] * (len(tokens) - len(_SPECIAL)))
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(3)
    writer.add_unk_token_id(1)
    writer.add_sep_token_id(3)
    writer.add_pad_token_id(0)
    writer.add_mask_token_id(4)


def _weights(writer: gguf.GGUFWriter, shape: Shape, tokens: int, *, ranks: bool) -> None:
    random, size = numpy.random.default_rng(1), shape.size

    def add(name: str, *shape: int) -> None:
        values = random.standard_normal(shape, dtype=numpy.float32) / 5
        writer.add_tensor(name, values)

    def add_norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", numpy.ones(size, numpy.float32))
        writer.add_tensor(f"{name}.bias", numpy.zeros(size, numpy.float32))

    add("token_embd.weight", tokens, size)
    add("position_embd.weight", shape.context, size)
    add("token_types.weight", 2, size)
    add_norm("token_embd_norm")
    for layer in range(shape.layers):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{layer}.{name}.weight", size, size)
            add(f"blk.{layer}.{name}.bias", size)
        add(f"blk.{layer}.ffn_up.weight", 4 * size, size)
        add(f"blk.{layer}.ffn_up.bias", 4 * size)
        add(f"blk.{layer}.ffn_down.weight", size, 4 * size)
        add(f"blk.{layer}.ffn_down.bias", size)
        add_norm(f"blk.{layer}.attn_output_norm")
        add_norm(f"blk.{layer}.layer_output_norm")
    if ranks:
        add("cls.weight", size, size)
        add("cls.bias", size)
        add("cls.output.weight", 1, size)
        add("cls.output.bias", 1)
