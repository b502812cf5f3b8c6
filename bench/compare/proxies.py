"""LiteLLM and vllm-router, each from a hash-locked list in a virtual environment of its own.

LiteLLM runs as users install it: one worker, a master key, no Redis. Three traps make a LiteLLM
baseline unfairly weak, and are avoided here: without the opentelemetry packages and prisma it
imports failing modules again on every request; with PYTHONDONTWRITEBYTECODE=1 that import also
compiles each time; and without a local cost map it looks for one on the network.
"""

import hashlib
import os
import subprocess
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.figures import tell
from bench.servers.child import REPOSITORY, Child
from bench.servers.processes import use_by_role
from bench.servers.targets import MODEL, Target
from config.supervisor.ports import find_free

LITELLM_CONFIG = """\
model_list:
  - model_name: {model}
    litellm_params:
      model: openai/{model}
      api_base: {engine_url}
      api_key: none
general_settings:
  master_key: {key}
"""


@dataclass(frozen=True, slots=True)
class Proxy:
    """`package` has it, and a program of that name; requirements/PACKAGE.txt locks it."""

    name: str
    package: str
    ready: str  # the path that answers once it is
    start_s: float
    key: str = "none"
    wheels: str = ":none:"  # packages never to be built from source
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def _folder(self) -> Path:
        return REPOSITORY / "bench" / f".venv-{self.package}"

    @property
    def _environment(self) -> dict[str, str]:
        """Ours, in which Python may keep what it compiled."""
        ours = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        return ours | dict(self.variables)

    def install(self) -> None:
        """Makes bench/.venv-PACKAGE, once per lock. Raises CalledProcessError."""
        lock = REPOSITORY / "requirements" / f"{self.package}.txt"
        digest = hashlib.sha256(lock.read_bytes()).hexdigest()
        stamp = self._folder / "lock.sha256"
        if not stamp.exists() or stamp.read_text() != digest:
            tell(f"installing {self.package} into bench/.venv-{self.package}")
            venv.create(self._folder, with_pip=True, clear=True)
            pip = [str(self._folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
            # The lock has all. pip 23 looks past it for a package with an extra (httpx[http2]).
            pip += ["--no-deps", "--only-binary", self.wheels, "--require-hashes", "-r", str(lock)]
            subprocess.run(pip, check=True, env=self._environment)
            stamp.write_text(digest)

    def version(self) -> str:
        code = f"import importlib.metadata as m; print(m.version({self.package!r}))"
        command = [str(self._folder / "bin" / "python"), "-c", code]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    @contextmanager
    def running(self, folder: Path, *options: str) -> Iterator[Target]:
        """It runs while the context lasts. Raises CalledProcessError, DidNotStart."""
        self.install()
        root = f"http://127.0.0.1:{(port := find_free())}"
        command = [str(self._folder / "bin" / self.package), "--host", "127.0.0.1"]
        command += ["--port", str(port), *options]
        child = Child(command, folder / f"{self.package}.log", self._environment)
        child.wait_until_ready(root + self.ready, self.start_s)
        try:
            yield Target(
                self.name,
                f"{root}/v1",
                self.key,
                MODEL,
                lambda: use_by_role(child.pid, lambda _: self.name),
            )
        finally:
            child.stop()


LITELLM = Proxy(
    name="LiteLLM",
    package="litellm",
    ready="/health/liveliness",
    start_s=300,
    key="sk-bench-4c1f0a7de2",
    # LiteLLM's own advice for production; it spares it debug logging.
    variables={
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    },
)
# A load balancer in Rust without keys, limits or records: the limit of a proxy.
VLLM_ROUTER = Proxy("vllm-router", "vllm-router", "/health", start_s=60, wheels="vllm-router")


def litellm_options(engine_url: str, folder: Path) -> list[str]:
    config = folder / "litellm.yaml"
    config.write_text(LITELLM_CONFIG.format(model=MODEL, engine_url=engine_url, key=LITELLM.key))
    return ["--config", str(config), "--num_workers", "1", "--telemetry", "False"]


def router_options(engine_root: str) -> list[str]:
    # With one engine there is nothing to choose: the cheapest policy.
    options = ["--worker-urls", engine_root, "--policy", "round_robin"]
    return [*options, "--prometheus-port", str(find_free()), "--log-level", "warning"]
