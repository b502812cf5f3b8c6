"""The order `quantise`: eight bits, as Q8_0 for llama.cpp or as rows of int8 for vLLM."""

from math import prod

from trainer.formats.converting import progress, size_of, to_gguf
from trainer.formats.gguf_file import GgufFile
from trainer.formats.int8 import write_int8
from trainer.formats.model import only_header, open_model
from trainer.job import Job


def run(job: Job) -> dict[str, object]:
    """Writes output/model.gguf or output/model/, and says which part of fp32 that is."""
    assert job.order.base is not None  # the table of kinds says so
    if job.order.parameters["format"] == "int8":
        return _int8(job)
    target = job.order.output / "model.gguf"
    to_gguf(job.order.base, target, "q8_0", progress(job))
    header = GgufFile.open(target).header
    return _result(job, target.name, 4 * sum(prod(each.shape) for each in header.tensors.values()))


def _int8(job: Job) -> dict[str, object]:
    model = open_model(job.order.base or job.order.output)
    embedding = job.order.parameters["embedding"]
    if model.config.get("tie_word_embeddings") and embedding == "once":
        job.events.warning(
            "tied_embedding",
            "vLLM up to 0.32 loads no tied embedding of int8: take the embedding twice or f16",
        )
    target = job.order.output / "model"
    write_int8(model, target, embedding, progress(job))
    return _result(job, target.name, model.bytes_in_fp32)


def _result(job: Job, model: str, fp32: int) -> dict[str, object]:
    _warn_of_few_bits(job)
    size = size_of(job.order.output / model)
    return {"model": model, "bytes": size, "bytes_fp32": fp32, "share": round(size / fp32, 4)}


def _warn_of_few_bits(job: Job) -> None:
    """A base of four bits does not get better by eight."""
    header = None if job.order.base is None else only_header(job.order.base)
    types = {each.type.name for each in header.tensors.values()} if header else set()
    if few := sorted(types - {"F32", "F16", "BF16", "Q8_0"}):
        job.events.warning("few_bits", f"The base has weights of {', '.join(few)} already")
