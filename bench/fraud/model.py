"""The tuned model: the platform's own trainer makes the adapter and scores the rows.

Each order of the trainer ends in a folder of its own, and is not repeated where that is whole.
"""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.figures import tell
from bench.fraud.rows import Rows, Split
from bench.servers.child import REPOSITORY
from config.demo.payment_inputs import prompt_of
from config.supervisor.engines.embedded_engine import bundled_model

LENGTH = 96  # tokens of a sequence: the template, a prompt and an answer
# As SmolLM2's chat template writes a question, up to its answer's first token.
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
CHAT = (
    f"<|im_start|>system\n{SYSTEM}<|im_end|>\n"
    "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)
WORDS = ("no", "yes")


@dataclass(frozen=True, slots=True)
class Trainer:
    python: Path  # of .venv-train
    folder: Path
    seed: int
    threads: int

    def base(self) -> Path:
        return self._run("base", "convert", bundled_model(), to="hf", dtype="f32") / "model"

    def adapter(self, base: Path, rows: Split, *, epochs: int, rate: float) -> Path:
        """Returns the folder of an adapter in peft's format, of the best epoch."""
        data = {"train": rows.train, "held_out": rows.validation}
        output = self._run(
            "adapter", "fine-tune", base,
            data={name: str(self._write(name, _chat, part)) for name, part in data.items()},
            rank=8, epochs=epochs, learning_rate=rate, batch=16, length=LENGTH, patience=0,
            warm_up=10, micro_batch=16,
        )  # fmt: skip
        return output / "adapter"

    def scores(self, name: str, base: Path, adapter: Path | None, rows: Rows) -> list[float]:
        """Returns p(yes) of each row."""
        path = self._write(name, _task, rows)
        more = {"adapter": str(adapter)} if adapter else {}
        output = self._run(name, "score", base, data={"train": str(path)}, length=LENGTH, **more)
        scores: list[float] = json.loads((output / "scores.json").read_bytes())
        return scores

    def _write(self, name: str, line: Callable[[str, int], str], rows: Rows) -> Path:
        path = self.folder / f"{name}.jsonl"
        self.folder.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(map(line, map(prompt_of, rows.inputs), rows.labels)))
        return path

    def _run(
        self,
        name: str,
        kind: str,
        base: Path,
        *,
        data: dict[str, str] | None = None,
        **more: object,
    ) -> Path:
        folder = self.folder / name
        if (folder / "done").exists():
            return folder / "output"
        folder.mkdir(parents=True, exist_ok=True)
        fields = {
            "kind": kind, "base": str(base), "data": data or {}, "parameters": more,
            "output": str(folder / "output"), "checkpoints": str(folder / "checkpoints"),
            "threads": self.threads, "seed": self.seed,
        }  # fmt: skip
        (folder / "order.json").write_text(json.dumps(fields))
        tell(f"{kind} in {folder}")
        command = [str(self.python), "-m", "trainer", str(folder / "order.json")]
        subprocess.run(command, cwd=REPOSITORY, check=True)
        (folder / "done").touch()
        return folder / "output"


def _chat(prompt: str, label: int) -> str:
    messages = [
        {"role": "user", "content": prompt},
        {"role": "assistant", "content": WORDS[label]},
    ]
    return json.dumps({"messages": messages}) + "\n"


def _task(prompt: str, label: int) -> str:
    fields = {"prompt": CHAT.format(prompt), "choices": WORDS, "answer": label}
    return json.dumps(fields) + "\n"
