"""Asks the energy agent of this host. Nothing here needs a privilege."""

import socket
from pathlib import Path

SOCKET = Path("/run/forebay-energy/agent.sock")
PATIENCE_S = 2.0


class AgentError(Exception):
    """The agent is away, or has refused."""


class AgentClient:
    def __init__(self, path: Path = SOCKET) -> None:
        self._path = path

    def lock(self, gpu: str, mhz: int) -> str:
        """Lock a GPU's clock for some seconds; send it again until then. Raises AgentError."""
        return self._ask(f"lock {gpu} {mhz}")

    def reset(self, gpu: str) -> str:
        """Give a GPU's clock back to the driver. Raises AgentError."""
        return self._ask(f"reset {gpu}")

    def _ask(self, request: str) -> str:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
                connection.settimeout(PATIENCE_S)
                connection.connect(str(self._path))
                connection.sendall(request.encode())
                answer = connection.recv(1024).decode(errors="replace")
        except OSError as problem:
            raise AgentError(f"no energy agent at {self._path}: {problem}") from None
        if not answer.startswith("ok "):
            raise AgentError(answer.removeprefix("refused: ") or "the agent ended")
        return answer
