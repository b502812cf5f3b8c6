"""LiteLLM proxy as users install it: one worker, a master key, no Redis, in its own environment.

Three traps make a LiteLLM baseline unfairly weak, and are avoided here: without the
opentelemetry packages it imports a failing module again on every request; with
PYTHONDONTWRITEBYTECODE=1 that import also compiles each time; and without a local cost map it
looks for one on the network.
"""

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

from bench.children import REPOSITORY, Child
from config.supervisor.ports import find_free

ENVIRONMENT = REPOSITORY / "bench" / ".venv-litellm"
LOCK = REPOSITORY / "requirements" / "litellm.txt"
MASTER_KEY = "sk-bench-4c1f0a7de2"
START_SECONDS = 120

CONFIG = """\
model_list:
  - model_name: {model}
    litellm_params:
      model: openai/{model}
      api_base: {engine_url}
      api_key: none
general_settings:
  master_key: {key}
"""


def install() -> Path:
    """Makes the environment from the hash-locked list, once per lock; returns its bin folder."""
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    stamp = ENVIRONMENT / "lock.sha256"
    if not stamp.exists() or stamp.read_text() != digest:
        print("bench: installing LiteLLM into bench/.venv-litellm (once)", file=sys.stderr)
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        pip = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "--require-hashes", "-r", str(LOCK)], check=True, env=environment())
        stamp.write_text(digest)
    return ENVIRONMENT / "bin"


def environment() -> dict[str, str]:
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    # LiteLLM's own advice for production; it spares it debug logging.
    env |= {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR"}
    env |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    return env


def version() -> str:
    code = "import importlib.metadata as m; print(m.version('litellm'))"
    python = str(ENVIRONMENT / "bin" / "python")
    return subprocess.run(
        [python, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


class LiteLLMProxy:
    """A running proxy in front of `engine_url` (ends in /v1), ready when constructed."""

    def __init__(self, engine_url: str, model: str, folder: Path) -> None:
        binaries = install()
        port = find_free()
        config = folder / "litellm.yaml"
        config.write_text(CONFIG.format(model=model, engine_url=engine_url, key=MASTER_KEY))
        command = [str(binaries / "litellm"), "--config", str(config), "--host", "127.0.0.1"]
        command += ["--port", str(port), "--num_workers", "1", "--telemetry", "False"]
        self.url = f"http://127.0.0.1:{port}/v1"
        self.key = MASTER_KEY
        self.child = Child(command, folder / "litellm.log", environment())
        try:
            self.child.wait_until_ready(f"http://127.0.0.1:{port}/health/liveliness", START_SECONDS)
        except BaseException:
            self.child.stop()
            raise

    @property
    def pid(self) -> int:
        return self.child.pid

    def stop(self) -> None:
        self.child.stop()
