"""The heartbeat of a runner: it renews leases twice a second, and reads which ones are lost."""

import asyncio
import logging
from collections.abc import Callable

from django.conf import settings

from inference.record import limit_usage
from inference.worker.inbox import Idling
from inference.worker.runner_parts import RunnerParts
from inference.worker.sibling_workers import SiblingWorkers
from infrastructure.redis.link import TROUBLE
from tenants.rate_limits.held_slots import reacquire

log = logging.getLogger(__name__)
BEAT_S = 0.5


class Heartbeat:
    """Renew the leases of one runner until it is cancelled."""

    def __init__(
        self,
        runner_id: str,
        parts: RunnerParts,
        idling: Idling,
        siblings: SiblingWorkers,
        stop: Callable[[], None],
    ) -> None:
        self._runner_id, self._parts = runner_id, parts
        self._idling, self._siblings, self._stop = idling, siblings, stop
        self._epoch = b""  # another one: Redis has lost its data

    async def keep(self) -> None:
        while True:
            try:
                await self._beat()
            except TROUBLE as problem:
                log.warning("%s: heartbeat failed: %s", self._parts.pool, problem)
            except Exception:  # without beats, everything that runs would be taken away
                log.exception("%s: heartbeat failed", self._parts.pool)
            await asyncio.sleep(BEAT_S)

    async def _beat(self) -> None:
        parts, idling = self._parts, self._idling
        redis = parts.connections.redis
        waits = await self._renew()
        if not idling.is_leaving:
            await self._siblings.beat(redis)
        if not await self._siblings.may_run_here(redis):
            self._stop()  # this host was away for long, and another has taken over
        if waits and parts.slots.free:
            idling.wake()
        elif waits:
            self._siblings.call_one()
        parts.watch.look(parts.requests.running.values())
        await parts.watch.tell(redis)

    async def _renew(self) -> bool:
        requests, idling = self._parts.requests, self._idling
        items = [item for item, _ in requests.leased.values()]
        waits, epoch, lost = await self._parts.connections.queue.beat(
            self._runner_id,
            idling.is_idle,
            items,
            leaving=idling.is_leaving,
            held=idling.is_held,
        )
        if lost and epoch == self._epoch:
            for item in lost:
                requests.lose(item)
        elif self._epoch not in (epoch, b""):
            await self._restore()
        self._epoch = epoch
        return waits

    async def _restore(self) -> None:
        """Put leases and events back before the sweeper looks: Redis came back empty."""
        parts, requests = self._parts, self._parts.requests
        log.warning(
            "%s: Redis lost its data; restoring %d requests", parts.pool, len(requests.running)
        )
        connections = parts.connections
        for request_id, run in list(requests.running.items()):
            if request_id not in requests.leased:
                continue  # it ended while we were busy with another
            _, ciphertext = requests.leased[request_id]
            if not await connections.queue.adopt(run.item, ciphertext, self._runner_id):
                run.abandon()
                continue
            slot = limit_usage.slot(run.order)
            await reacquire(connections.redis, slot, settings.REQUEST_DEADLINE_S)
            if frame := run.handler.everything_sent():
                connections.writer.put(run.order, frame)
            await parts.preemption.offer(run)
        self._idling.wake()
