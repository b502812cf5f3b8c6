"""The platform itself: web, gRPC, one worker for each engine, jobs, beat."""

import json
import shlex
import sys
from collections.abc import Iterable, Mapping

from config.supervisor.child import Stage
from config.supervisor.home import Home
from config.supervisor.http_probe import answers, get
from config.supervisor.keeper import Keeper
from config.supervisor.options import Options
from config.supervisor.together import together
from inference.pools import Entry

_WEB = shlex.split(
    "-m uvicorn config.asgi:application --loop uvloop --http config.bounded_http:Bounded "
    "--ws config.bounded_http:BoundedSocket --ws-max-size 1048576 --lifespan on --no-access-log "
    "--timeout-graceful-shutdown 3 "
    "--log-level warning --no-proxy-headers --no-server-header"
)
_CELERY = shlex.split("-m celery -A config")
_WORKER = shlex.split("-P threads --without-gossip --without-mingle --without-heartbeat -l warning")


class Processes:
    def __init__(
        self, options: Options, home: Home, keeper: Keeper, variables: Mapping[str, str]
    ) -> None:
        self._options, self._home, self._keeper = options, home, keeper
        self._variables = variables

    async def start(self, engines: Iterable[Entry]) -> None:
        for entry in engines:
            worker = f"worker.{entry.engine.replace('/', '-')}"
            await self._celery(worker, "worker", *_WORKER, "-c", "1", "-Q", entry.queue)
        await self._celery("jobs", "worker", *_WORKER, "-c", "2", "-Q", "jobs")
        schedule = str(self._home.run / "beat")
        await self._celery("beat", "beat", "-s", schedule, "--pidfile=", "-l", "warning")
        await together(self._web(), self._grpc())

    async def _web(self) -> None:
        where = ["--host", self._options.host, "--port", str(self._options.port)]
        child = self._keeper.child(
            "web", [sys.executable, *_WEB, *where], self._variables, stage=Stage.DOOR
        )
        await self._keeper.start(child, self._what_is_missing)

    async def _grpc(self) -> None:
        if not self._options.grpc_port:
            return
        command = [sys.executable, "-m", "config.grpc_server"]
        child = self._keeper.child("grpc", command, self._variables, stage=Stage.DOOR)
        await self._keeper.start(child, self._is_listening)

    async def _is_listening(self) -> str | None:
        listening = await answers(self._options.near_host, self._options.grpc_port or 0)
        return None if listening else "it does not listen yet"

    async def _celery(self, name: str, *arguments: str) -> None:
        node = ["-n", f"{name}@%h"] if "worker" in arguments else []
        child = self._keeper.child(
            name, [sys.executable, *_CELERY, *arguments, *node], self._variables, stage=Stage.WORK
        )
        await self._keeper.start(child, _nothing_is_missing)

    async def _what_is_missing(self) -> str | None:
        answer = await get(self._options.near_host, self._options.port, "/readyz")
        if answer.status == 200 or _only_engines_are_away(answer.body):
            return None
        return answer.body.strip() or "it does not answer yet"


def _only_engines_are_away(body: str) -> bool:
    """Then it runs, and its console says so."""
    try:
        checks = json.loads(body)["checks"]
        return [name for name, answers in checks.items() if not answers] == ["engines"]
    except (ValueError, LookupError, TypeError, AttributeError):
        return False


async def _nothing_is_missing() -> None:
    """Whether the workers are up is for /readyz to say."""
