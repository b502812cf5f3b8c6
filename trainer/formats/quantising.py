"""The order `quantise`: eight bits, as Q8_0 for llama.cpp or as rows of int8 for vLLM."""

from math import prod
from pathlib import Path

from trainer.formats.converting import size_of, to_gguf
from trainer.formats.gguf_file import GgufFile
from trainer.formats.int8 import write_int8
from trainer.formats.model import only_header, open_model
from trainer.formats.units import Units
from trainer.job import Job


def run(job: Job) -> dict[str, object]:
    """Writes output/model.gguf or output/model/, and says which part of fp32 that is."""
    base = job.order.base
    assert base is not None  # the table of kinds says so
    _warn_of_few_bits(job, base)
    return _int8(job, base) if job.order.parameters["format"] == "int8" else _q8_0(job, base)


def _q8_0(job: Job, base: Path) -> dict[str, object]:
    target = job.order.output / "model.gguf"
    to_gguf(base, target, "q8_0", Units(job))
    tensors = GgufFile.open(target).header.tensors.values()
    return _result(target, 4 * sum(prod(each.shape) for each in tensors))


def _int8(job: Job, base: Path) -> dict[str, object]:
    model, embedding = open_model(base), job.order.parameters["embedding"]
    if model.config["tie_word_embeddings"] and embedding == "once":
        job.events.warning(
            "tied_embedding",
            "vLLM up to 0.32 loads no tied embedding of int8: take the embedding twice or f16",
        )
    target = job.order.output / "model"
    write_int8(model, target, embedding, Units(job))
    return _result(target, model.bytes_in_fp32)


def _result(target: Path, fp32: int) -> dict[str, object]:
    size = size_of(target)
    share = round(size / fp32, 4)
    return {"model": target.name, "bytes": size, "bytes_fp32": fp32, "share": share}


def _warn_of_few_bits(job: Job, base: Path) -> None:
    """Says that a base of four bits does not get better by eight."""
    header = only_header(base)
    types = {each.type.name for each in header.tensors.values()} if header else set[str]()
    if few := sorted(types - {"F32", "F16", "BF16", "Q8_0"}):
        job.events.warning("few_bits", f"The base has weights of {', '.join(few)} already")
