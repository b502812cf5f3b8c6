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
        place: RunnerParts,
        idling: Idling,
        siblings: SiblingWorkers,
        stop: Callable[[], None],
    ) -> None:
        self._runner_id, self._place = runner_id, place
        self._idling, self._siblings, self._stop = idling, siblings, stop
        self._epoch = b""  # another one: Redis has lost its data

    async def keep(self) -> None:
        while True:
            try:
                await self._beat()
            except TROUBLE as problem:
                log.warning("%s: heartbeat failed: %s", self._place.pool, problem)
            except Exception:  # without beats, everything that runs would be taken away
                log.exception("%s: heartbeat failed", self._place.pool)
            await asyncio.sleep(BEAT_S)

    async def _beat(self) -> None:
        place, idling = self._place, self._idling
        redis = place.connections.redis
        waits = await self._renew()
        if not idling.is_leaving:
            await self._siblings.beat(redis)
        if not await self._siblings.may_run_here(redis):
            self._stop()  # this host was away for long, and another has taken over
        if waits and place.slots.free:
            idling.wake()
        elif waits:
            self._siblings.call_one()
        place.watch.look(place.requests.running.values())
        await place.watch.tell(redis)

    async def _renew(self) -> bool:
        requests, idling = self._place.requests, self._idling
        items = [item for item, _ in requests.leased.values()]
        waits, epoch, lost = await self._place.connections.queue.beat(
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
        place, requests = self._place, self._place.requests
        log.warning(
            "%s: Redis lost its data; restoring %d requests", place.pool, len(requests.running)
        )
        connections = place.connections
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
            await place.preemption.offer(run)
        self._idling.wake()
