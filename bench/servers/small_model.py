"""Makes the bundled model smaller: the trainer's own orders, without any teaching.

How fast a model decodes depends on its sizes alone: a student that was taught nothing is enough.
"""

import json
import subprocess
import tempfile
from pathlib import Path

from bench.figures import tell
from bench.servers.child import REPOSITORY
from config.supervisor.engines.embedded_engine import bundled_model

TRAINER = REPOSITORY / ".venv-train" / "bin" / "python"
LAYERS, WORDS = 14, 16_384
LINES = 200  # of the project's pages, for the look at what each layer does


class NoTrainer(RuntimeError):
    """Its environment is not there."""


def make_models(folder: Path, formats: tuple[str, ...]) -> dict[tuple[str, str], Path]:
    """Returns the GGUF of ("teacher" or "student", format)."""
    if not TRAINER.exists():
        raise NoTrainer("make .venv-train/.ready first")
    parameters = {
        "layers": LAYERS, "vocabulary": WORDS, "teacher_epochs": 0, "most_steps": 1, "batch": 1,
        "length": 128, "precision": "fp32",
    }  # fmt: skip
    data = {name: str(_pages(folder / name, few)) for name, few in (("train", 0), ("held_out", 4))}
    teacher = run_order(folder / "hf", "convert", bundled_model(), to="hf", dtype="f32") / "model"
    student = run_order(folder / "cut", "distil", teacher, data=data, **parameters) / "model"
    bases = {"teacher": teacher, "student": student}
    return {
        (name, dtype): run_order(folder / f"{name}-{dtype}", "convert", base, dtype=dtype)
        / "model.gguf"
        for name, base in bases.items()
        for dtype in formats
    }


def run_order(
    folder: Path, kind: str, base: Path, *, data: dict[str, str] | None = None, **parameters: object
) -> Path:
    """Runs one of the trainer's orders. Returns the folder of its output. Raises RuntimeError."""
    tell(f"{kind} in {folder.name}")
    folder.mkdir()
    fields = {
        "kind": kind, "base": str(base), "data": data or {}, "parameters": parameters,
        "output": str(folder / "output"), "checkpoints": str(folder / "checkpoints"),
        "threads": 1, "seed": 1,
    }  # fmt: skip
    with tempfile.NamedTemporaryFile("w", suffix=".json") as order:
        json.dump(fields, order)
        order.flush()
        command = [str(TRAINER), "-m", "trainer", order.name]
        ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(f"{kind} ended with {ran.returncode}: {ran.stderr[-500:]}")
    return folder / "output"


def _pages(path: Path, few: int) -> Path:
    """Writes lines of the project's pages, or a few of them."""
    pages = sorted((REPOSITORY / "docs").glob("*.md"))
    texts = [line for page in pages for line in page.read_text().splitlines() if len(line) > 80]
    chosen = texts[: few or LINES]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in chosen))
    return path
