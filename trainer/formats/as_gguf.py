"""Writes a GGUF: from one of any architecture, whose types change alone, or from another format."""

from collections.abc import Sequence
from functools import partial
from math import prod
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFValueType, LlamaFileType

from trainer.formats import settings
from trainer.formats.gguf_file import F32, GgufFile, Written, encoded, fitting, write_gguf
from trainer.formats.gguf_header import Field
from trainer.formats.model import Model
from trainer.formats.units import Arrays, Units

TYPES = {
    "f32": (GGMLQuantizationType.F32, LlamaFileType.ALL_F32),
    "f16": (GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
    "q8_0": (GGMLQuantizationType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
}
_U32, _STRING = GGUFValueType.UINT32, GGUFValueType.STRING


def write_types(source: GgufFile, target: Path, dtype: str, units: Units) -> None:
    """Writes the same model with other types of weights; all metadata stays."""
    wanted, file_type = TYPES[dtype]
    infos = list(source.header.tensors.values())
    plan = [Written(info.name, info.shape, fitting(info.shape, wanted)) for info in infos]

    def made(number: int) -> Arrays:
        info, each = infos[number], plan[number]
        same = info.type == each.type  # its bytes are copied
        return [encoded(source.raw(info.name) if same else source.floats(info.name), each.type)]

    makes = [partial(made, number) for number in range(len(plan))]
    fields = dict(source.header.fields)
    fields["general.file_type"] = Field(int(file_type), _U32)
    fields["general.quantization_version"] = Field(2, _U32)
    write_gguf(target, source.header.architecture, fields, plan, units.arrays(makes))


def write_model(model: Model, target: Path, dtype: str, units: Units) -> None:
    """Writes a model of Hugging Face's names as a GGUF."""
    wanted, file_type = TYPES[dtype]
    name_of = model.architecture.gguf_names(model.config["num_hidden_layers"])
    plan = [
        Written(name_of(name), shape, fitting(shape, wanted))
        for name, shape in model.shapes.items()
    ]
    makes = [
        partial(_encoded, model, name, each) for name, each in zip(model.shapes, plan, strict=True)
    ]
    factors = settings.rope_factors(model.config)
    if factors is not None:
        plan.append(Written("rope_freqs.weight", (len(factors),), F32))
        makes.append(partial(_numbers, factors))
    fields = _fields(model, file_type)
    write_gguf(target, model.architecture.name, fields, plan, units.arrays(makes))


def _encoded(model: Model, name: str, written: Written) -> Arrays:
    values = model.architecture.to_gguf(name, model.floats(name), model.config)
    return [encoded(values, written.type)]


def _numbers(values: Sequence[float]) -> Arrays:
    return [np.array(values, np.float32)]


def _fields(model: Model, file_type: LlamaFileType) -> dict[str, Field]:
    size = round(sum(prod(shape) for shape in model.shapes.values()) / 1e6)
    return {
        "general.type": Field("model", _STRING),
        "general.name": Field(f"{model.config['model_type']} {size}M", _STRING),
        "general.file_type": Field(int(file_type), _U32),
        "general.quantization_version": Field(2, _U32),
        **settings.fields_of(model.config, model.architecture),
        **model.tokenizer_fields(),
    }
