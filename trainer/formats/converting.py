"""The order `convert`: GGUF to Hugging Face and back, other types, and adapters."""

from pathlib import Path

from trainer.formats.adapter import write_adapter
from trainer.formats.as_folder import DTYPES, write_folder
from trainer.formats.as_gguf import write_model, write_types
from trainer.formats.gguf_file import GgufFile
from trainer.formats.model import gguf_file, open_model
from trainer.formats.units import Units
from trainer.job import Job
from trainer.refusals import bad_order


def run(job: Job) -> dict[str, object]:
    """Writes output/model.gguf, output/model/ or output/adapter.gguf."""
    parameters, base = job.order.parameters, _base(job)
    if parameters["adapter"] is not None:
        target = job.order.output / "adapter.gguf"
        write_adapter(_folder(parameters["adapter"]), base, target)
        return {"model": target.name, "bytes": size_of(target)}
    if parameters["to"] == "hf":
        return _to_folder(job, base, parameters["dtype"])
    target = job.order.output / "model.gguf"
    to_gguf(base, target, parameters["dtype"], Units(job))
    return {"model": target.name, "bytes": size_of(target)}


def _base(job: Job) -> Path:
    assert job.order.base is not None  # the table of kinds says so
    return job.order.base


def _folder(value: str) -> Path:
    path = Path(value)
    if not path.is_absolute() or not path.is_dir():
        raise bad_order("bad_parameter", "adapter must be the absolute path of a folder")
    return path


def _to_folder(job: Job, base: Path, dtype: str) -> dict[str, object]:
    if dtype not in DTYPES:
        raise bad_order("bad_parameter", "Folders of Hugging Face get f16 or f32")
    target = job.order.output / "model"
    write_folder(open_model(base), target, dtype, Units(job))
    return {"model": target.name, "bytes": size_of(target)}


def to_gguf(base: Path, target: Path, dtype: str, units: Units) -> None:
    """Writes a GGUF; one that is a GGUF already keeps its metadata, whatever its architecture."""
    if (file := gguf_file(base)) is not None:
        write_types(GgufFile.open(file), target, dtype, units)
    else:
        write_model(open_model(base), target, dtype, units)


def size_of(path: Path) -> int:
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(each.stat().st_size for each in files)
