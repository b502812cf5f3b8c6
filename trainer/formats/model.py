"""A model in one of both formats, as its weights and settings by the names of Hugging Face."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from trainer.formats import settings, tokenizer
from trainer.formats.architectures import Architecture, of_config, of_gguf
from trainer.formats.gguf_file import Floats, GgufFile
from trainer.formats.gguf_header import Field, Header
from trainer.formats.safetensors_file import read_folder
from trainer.formats.small_files import object_of
from trainer.refusals import unusable


@dataclass(frozen=True, slots=True)
class Model:
    """`config` is checked; `floats` reads one weight, which frees its memory when it is let go."""

    architecture: Architecture
    config: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]
    floats: Callable[[str], Floats]
    source: GgufFile | Path

    @property
    def bytes_in_fp32(self) -> int:
        return 4 * sum(prod(shape) for shape in self.shapes.values())

    def save_tokenizer(self, folder: Path) -> None:
        """Writes the tokenizer's files into a folder."""
        if isinstance(self.source, GgufFile):
            tokenizer.save(self.source.header, folder)
            return
        for name in (*tokenizer.FILES, tokenizer.TEMPLATE, "generation_config.json"):
            if (self.source / name).is_file():
                (folder / name).write_bytes((self.source / name).read_bytes())

    def tokenizer_fields(self) -> dict[str, Field]:
        """Returns the tokenizer as metadata of a GGUF."""
        if isinstance(self.source, Path):
            return tokenizer.fields_of(self.source, self.config)
        fields = self.source.header.fields
        return {name: field for name, field in fields.items() if name.startswith("tokenizer.")}


def open_model(path: Path) -> Model:
    """Opens a GGUF file, a folder with one, or a folder of Hugging Face."""
    if (file := gguf_file(path)) is not None:
        return _of_gguf(GgufFile.open(file))
    return _of_folder(path)


def gguf_file(path: Path) -> Path | None:
    """Returns the GGUF that a path is or holds; None for folders of Hugging Face."""
    if path.is_file():
        return path
    files = sorted(path.glob("*.gguf"))
    if (path / "config.json").is_file() or not files:
        return None
    if len(files) > 1:
        raise unusable(
            "several_files", "A GGUF in several files cannot be converted: merge it first"
        )
    return files[0]


def _of_gguf(file: GgufFile) -> Model:
    architecture = of_gguf(file.header.architecture)
    config = settings.config_of(file.header, architecture)
    known = architecture.hf_names(config)
    if unknown := sorted(file.header.tensors.keys() - known.keys()):
        raise unusable("unknown_weight", f"{architecture.class_name} has no weight {unknown[0]}")
    names = {known[name]: name for name in file.header.tensors}
    shapes = {name: file.header.tensors[theirs].shape for name, theirs in names.items()}
    _check(shapes, config)

    def floats(name: str) -> Floats:
        return architecture.to_hf(name, file.floats(names[name]), config)

    return Model(architecture, config, shapes, floats, file)


def _of_folder(folder: Path) -> Model:
    config = object_of(folder / "config.json")
    if config.get("quantization_config"):
        raise unusable("quantised", "The base is quantised already: convert what it was made from")
    architecture = of_config(config)
    config = settings.checked(config)
    tensors = read_folder(folder)
    config.setdefault("tie_word_embeddings", "lm_head.weight" not in tensors)
    if config["tie_word_embeddings"]:
        tensors.pop("lm_head.weight", None)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    _check(shapes, config)
    return Model(architecture, config, shapes, lambda name: tensors[name].floats(), folder)


def _check(shapes: dict[str, tuple[int, ...]], config: dict[str, Any]) -> None:
    """Refuses weights that are missing, or do not fit the settings."""
    width, inner = config["hidden_size"], config["intermediate_size"]
    query = config["num_attention_heads"] * config["head_dim"]
    key = config["num_key_value_heads"] * config["head_dim"]
    wanted = {
        "model.embed_tokens.weight": (config["vocab_size"], width),
        "model.norm.weight": (width,),
    }
    for layer in range(config["num_hidden_layers"]):
        start = f"model.layers.{layer}."
        wanted |= {
            start + "self_attn.q_proj.weight": (query, width),
            start + "self_attn.k_proj.weight": (key, width),
            start + "self_attn.v_proj.weight": (key, width),
            start + "self_attn.o_proj.weight": (width, query),
            start + "mlp.gate_proj.weight": (inner, width),
            start + "mlp.up_proj.weight": (inner, width),
            start + "mlp.down_proj.weight": (width, inner),
            start + "input_layernorm.weight": (width,),
            start + "post_attention_layernorm.weight": (width,),
        }
    if not config.get("tie_word_embeddings"):
        wanted["lm_head.weight"] = (config["vocab_size"], width)
    for name, shape in wanted.items():
        if shapes.get(name) != shape:
            raise unusable("bad_weights", f"{name} is missing or does not fit the settings")
    if extra := [name for name in shapes if name not in wanted and not name.endswith(".bias")]:
        raise unusable("unknown_weight", f"The model has a weight {extra[0][:80]} that is unknown")


def only_header(path: Path) -> Header | None:
    """Returns the head of the GGUF that a path is or holds."""
    return None if (file := gguf_file(path)) is None else GgufFile.open(file).header
