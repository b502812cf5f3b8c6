"""A tiny model of BERT's kind with random weights, as a GGUF: for embeddings, or for rankings."""

from pathlib import Path

import gguf
import numpy

CONTEXT, SIZE, LAYERS = 64, 32, 2
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def write(file: Path, *, ranks: bool = False) -> Path:
    letters = [chr(number) for number in range(33, 127)]
    tokens = [*_SPECIAL, *(f"\u2581{letter}" for letter in letters), *letters]
    writer = gguf.GGUFWriter(file, "bert")
    _settings(writer, tokens, ranks=ranks)
    _weights(writer, len(tokens), ranks=ranks)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _settings(writer: gguf.GGUFWriter, tokens: list[str], *, ranks: bool) -> None:
    writer.add_name("tiny")
    writer.add_type("model")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(SIZE)
    writer.add_feed_forward_length(2 * SIZE)
    writer.add_block_count(LAYERS)
    writer.add_head_count(4)
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


def _weights(writer: gguf.GGUFWriter, tokens: int, *, ranks: bool) -> None:
    random = numpy.random.default_rng(1)

    def add(name: str, *shape: int) -> None:
        values = random.standard_normal(shape, dtype=numpy.float32) / 5
        writer.add_tensor(name, values)

    def add_norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", numpy.ones(SIZE, numpy.float32))
        writer.add_tensor(f"{name}.bias", numpy.zeros(SIZE, numpy.float32))

    add("token_embd.weight", tokens, SIZE)
    add("position_embd.weight", CONTEXT, SIZE)
    add("token_types.weight", 2, SIZE)
    add_norm("token_embd_norm")
    for layer in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{layer}.{name}.weight", SIZE, SIZE)
            add(f"blk.{layer}.{name}.bias", SIZE)
        add(f"blk.{layer}.ffn_up.weight", 2 * SIZE, SIZE)
        add(f"blk.{layer}.ffn_up.bias", 2 * SIZE)
        add(f"blk.{layer}.ffn_down.weight", SIZE, 2 * SIZE)
        add(f"blk.{layer}.ffn_down.bias", SIZE)
        add_norm(f"blk.{layer}.attn_output_norm")
        add_norm(f"blk.{layer}.layer_output_norm")
    if ranks:
        add("cls.weight", SIZE, SIZE)
        add("cls.bias", SIZE)
        add("cls.output.weight", 1, SIZE)
        add("cls.output.bias", 1)
