"""A model's settings: config.json of Hugging Face from the metadata of a GGUF, and back."""

import math
from typing import Any

from gguf import GGUFValueType

from trainer.formats.architectures import Architecture
from trainer.formats.gguf_header import Field, Header
from trainer.refusals import unusable

_U32, _F32 = GGUFValueType.UINT32, GGUFValueType.FLOAT32
# llama.cpp's name after the architecture's, Hugging Face's, type, and what it is where it lacks
_TABLE: tuple[tuple[str, str, GGUFValueType, Any], ...] = (
    ("block_count", "num_hidden_layers", _U32, None),
    ("context_length", "max_position_embeddings", _U32, 2048),
    ("embedding_length", "hidden_size", _U32, None),
    ("feed_forward_length", "intermediate_size", _U32, None),
    ("attention.head_count", "num_attention_heads", _U32, None),
    ("attention.head_count_kv", "num_key_value_heads", _U32, "num_attention_heads"),
    ("attention.layer_norm_rms_epsilon", "rms_norm_eps", _F32, 1e-6),
)
_MOST_LAYERS = 1000
_TOKENS = {
    "bos_token_id": "tokenizer.ggml.bos_token_id",
    "eos_token_id": "tokenizer.ggml.eos_token_id",
    "pad_token_id": "tokenizer.ggml.padding_token_id",
}


def config_of(header: Header, architecture: Architecture) -> dict[str, Any]:
    """Returns what config.json says, without dtype."""
    prefix = architecture.name
    if header.get(f"{prefix}.expert_count", 0):
        raise unusable("unknown_architecture", "Mixtures of experts cannot be converted")
    config: dict[str, Any] = {
        "architectures": [architecture.class_name],
        "model_type": architecture.model_type,
        "hidden_act": "silu",
    }
    for theirs, ours, _type, default in _TABLE:
        value = header.get(f"{prefix}.{theirs}", config.get(default, default))
        config[ours] = _sound(ours, value)
    config["rms_norm_eps"] = float(f"{config['rms_norm_eps']:.6g}")  # 1e-5, not 9.999999747e-6
    width = config["hidden_size"] // config["num_attention_heads"]
    config["head_dim"] = header.get(f"{prefix}.attention.key_length", width)
    config |= _rope_of(header, prefix)
    config |= {key: header.get(name) for key, name in _TOKENS.items()}
    config["vocab_size"] = len(header.need("tokenizer.ggml.tokens"))
    config["tie_word_embeddings"] = "output.weight" not in header.tensors
    config |= _biases_of(header, architecture)
    return config


def _sound(name: str, value: Any) -> Any:
    most = _MOST_LAYERS if name == "num_hidden_layers" else 10**9
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
        raise unusable("bad_settings", f"The model has no sound {name}")
    return value


def _rope_of(header: Header, prefix: str) -> dict[str, Any]:
    theta = float(header.get(f"{prefix}.rope.freq_base", 10000.0))
    kind = header.get(f"{prefix}.rope.scaling.type", "none")
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": theta}
    if kind == "linear":
        factor = header.need(f"{prefix}.rope.scaling.factor")
        rope |= {"rope_type": "linear", "factor": float(factor)}
    elif kind != "none" or "rope_freqs.weight" in header.tensors:
        raise unusable("unknown_positions", "A GGUF with scaled positions cannot be converted")
    # Transformers before 5 reads rope_theta alone.
    return {"rope_theta": theta, "rope_parameters": rope}


def _biases_of(header: Header, architecture: Architecture) -> dict[str, Any]:
    if architecture.model_type != "llama":
        return {}
    names = header.tensors
    return {
        "attention_bias": "blk.0.attn_q.bias" in names,
        "mlp_bias": "blk.0.ffn_up.bias" in names,
    }


def checked(config: dict[str, Any]) -> dict[str, Any]:
    """Returns a config.json with every number that a conversion needs."""
    result = dict(config)
    for _theirs, ours, _type, default in _TABLE:
        result[ours] = _sound(ours, result.get(ours) or result.get(str(default), default))
    result["head_dim"] = (
        result.get("head_dim") or result["hidden_size"] // result["num_attention_heads"]
    )
    return result


def fields_of(config: dict[str, Any], architecture: Architecture) -> dict[str, Field]:
    """Returns the metadata of a GGUF that says what a checked config.json does."""
    prefix = architecture.name
    fields = {
        f"{prefix}.{theirs}": Field(config[ours], type) for theirs, ours, type, _default in _TABLE
    }
    fields[f"{prefix}.vocab_size"] = Field(config["vocab_size"], _U32)
    width = config["head_dim"]
    for name in ("rope.dimension_count", "attention.key_length", "attention.value_length"):
        fields[f"{prefix}.{name}"] = Field(width, _U32)
    return fields | _rope_fields(config, prefix)


def _rope_fields(config: dict[str, Any], prefix: str) -> dict[str, Field]:
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    theta = rope.get("rope_theta") or config.get("rope_theta") or 10000.0
    fields = {f"{prefix}.rope.freq_base": Field(float(theta), _F32)}
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if kind == "linear":
        fields[f"{prefix}.rope.scaling.type"] = Field("linear", GGUFValueType.STRING)
        fields[f"{prefix}.rope.scaling.factor"] = Field(float(rope["factor"]), _F32)
    elif kind not in ("default", "llama3"):
        raise unusable("unknown_positions", f"Positions of the kind {str(kind)[:40]} are unknown")
    return fields


def rope_factors(config: dict[str, Any]) -> list[float] | None:
    """Returns by how much Llama 3 slows each frequency: llama.cpp's `rope_freqs.weight`."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if (rope.get("rope_type") or rope.get("type")) != "llama3":
        return None
    base = float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0)
    old = float(rope["original_max_position_embeddings"])
    low, high = float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
    width = int(config["head_dim"])
    waves = [2 * math.pi * base ** (i / width) for i in range(0, width, 2)]
    return [_factor(wave, old, low, high, float(rope["factor"])) for wave in waves]


def _factor(wave: float, old: float, low: float, high: float, factor: float) -> float:
    """Slows long waves by the factor, short ones not, and those between by a part of it."""
    if wave < old / high:
        return 1.0
    if wave > old / low:
        return factor
    share = (old / wave - low) / (high - low)
    return 1 / ((1 - share) / factor + share)
