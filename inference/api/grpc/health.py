"""The standard health service, without the lock of grpcio's.

grpcio's own writes to watchers under the lock that every check needs, so that one watcher that does
not read blocks them all.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc

State = Any  # pb.HealthCheckResponse.ServingStatus, which its stubs have as a value


class Health(health_pb2_grpc.HealthServicer):
    def __init__(self, names: Sequence[str]) -> None:
        self._states: dict[str, State] = dict.fromkeys(names, pb.HealthCheckResponse.NOT_SERVING)
        self._changed = asyncio.Event()
        self._over = False

    def set_state(self, *, well: bool) -> None:
        response = pb.HealthCheckResponse
        state = response.SERVING if well and not self._over else response.NOT_SERVING
        self._states = dict.fromkeys(self._states, state)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def end(self) -> None:
        """Report NOT_SERVING from now on, whatever `set_state` gets."""
        self._over = True
        self.set_state(well=False)

    async def Check(self, request: pb.HealthCheckRequest, context: Any) -> pb.HealthCheckResponse:
        if request.service not in self._states:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return pb.HealthCheckResponse(status=self._states[request.service])

    async def List(self, request: Any, context: Any) -> None:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED)

    async def Watch(self, request: pb.HealthCheckRequest, context: Any) -> None:
        last = None
        while True:
            changed = self._changed
            state = self._states.get(request.service, pb.HealthCheckResponse.SERVICE_UNKNOWN)
            if state != last:
                await context.write(pb.HealthCheckResponse(status=state))
            last = state
            await changed.wait()
