"""vllm-router: a load balancer in Rust without keys, limits or records, the limit of a proxy."""

import subprocess
from pathlib import Path

from bench.compare.locked_environment import LockedEnvironment, environment
from bench.servers.child import Child, DidNotStart
from config.supervisor.ports import find_free

ENVIRONMENT = LockedEnvironment("vllm-router", wheels="vllm-router")
START_SECONDS = 60


class RouterMissing(RuntimeError):
    """It cannot be installed or does not start here; the message says why."""


def version() -> str:
    return ENVIRONMENT.version("vllm-router")


class VllmRouter:
    """A running router in front of the engine at `engine_root` (without /v1), ready when made."""

    def __init__(self, engine_root: str, folder: Path) -> None:
        try:
            binaries = ENVIRONMENT.install()
        except subprocess.CalledProcessError as failed:
            raise RouterMissing("pip could not install vllm-router") from failed
        port = find_free()
        command = [str(binaries / "vllm-router"), "--host", "127.0.0.1", "--port", str(port)]
        # With one engine there is nothing to choose: the cheapest policy.
        command += ["--worker-urls", engine_root, "--policy", "round_robin"]
        command += ["--prometheus-port", str(find_free()), "--log-level", "warning"]
        self.url = f"http://127.0.0.1:{port}/v1"
        self.child = Child(command, folder / "vllm_router.log", environment())
        try:
            self.child.wait_until_ready(f"http://127.0.0.1:{port}/health", START_SECONDS)
        except DidNotStart as failed:
            self.child.stop()
            raise RouterMissing(f"vllm-router does not start: {failed}") from failed
        except BaseException:
            self.child.stop()
            raise
