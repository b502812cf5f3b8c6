"""A call as the server would hand it over, without a server."""

from typing import Any, cast

from inference.api.grpc.gathering import Gathering
from inference.api.grpc.rpc import Rpc
from inference.intake.context import Context


class Wire:
    def __init__(self, peer: str, *metadata: tuple[str, str]) -> None:
        self._peer, self._metadata = peer, metadata
        self.readings = 0

    def add_done_callback(self, callback: Any) -> None:
        self.end = callback

    def peer(self) -> str:
        return self._peer

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        self.readings += 1
        return self._metadata


def rpc(peer: str, *metadata: tuple[str, str]) -> Rpc:
    return Rpc(cast(Context, cast(Any, None)), Wire(peer, *metadata), "/a/b", Gathering())
