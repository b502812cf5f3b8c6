"""LiteLLM proxy as users install it: one worker, a master key, no Redis, in its own environment.

Three traps make a LiteLLM baseline unfairly weak, and are avoided here: without the
opentelemetry packages and prisma it imports failing modules again on every request; with
PYTHONDONTWRITEBYTECODE=1 that import also compiles each time; and without a local cost map it
looks for one on the network.
"""

from pathlib import Path

from bench.compare import locked_environment
from bench.compare.locked_environment import LockedEnvironment
from bench.servers.child import Child
from config.supervisor.ports import find_free

ENVIRONMENT = LockedEnvironment("litellm")
MASTER_KEY = "sk-bench-4c1f0a7de2"
START_SECONDS = 300

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


def environment() -> dict[str, str]:
    # LiteLLM's own advice for production; it spares it debug logging.
    return locked_environment.environment() | {
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }


def version() -> str:
    return ENVIRONMENT.version("litellm")


class LiteLLMProxy:
    """A running proxy in front of `engine_url` (ends in /v1), ready when constructed."""

    def __init__(self, engine_url: str, model: str, folder: Path) -> None:
        binaries = ENVIRONMENT.install()
        port = find_free()
        config = folder / "litellm.yaml"
        config.write_text(CONFIG.format(model=model, engine_url=engine_url, key=MASTER_KEY))
        command = [str(binaries / "litellm"), "--config", str(config), "--host", "127.0.0.1"]
        command += ["--port", str(port), "--num_workers", "1", "--telemetry", "False"]
        self.url = f"http://127.0.0.1:{port}/v1"
        self.child = Child(command, folder / "litellm.log", environment())
        try:
            self.child.wait_until_ready(f"http://127.0.0.1:{port}/health/liveliness", START_SECONDS)
        except BaseException:
            self.child.stop()
            raise
