"""A Valkey Cluster: each command goes to the node that owns the slot of its key.

All keys of a script share a hash tag, so that they are in one slot: those of a pool, of a breaker,
of an engine's users, and all limits. There is a link to each node; commands given in one tick of
the loop leave in one write per node. While a slot moves to another node, its keys are unavailable.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import hiredis
from redis.crc import key_slot

from infrastructure.redis.link import Answer, Call, RedisGone, RedisLink, Script, Shared
from infrastructure.redis.servers import Address, servers

SLOTS = 16_384
TRIES = 4
_KEY_AT = {"EVAL": 3, "MEMORY": 2}


def link_to(url: str, *, timeout_s: float | None = 5.0) -> RedisLink:
    """Returns a link to one server, the primary that sentinels name, or a cluster, as the URL
    says.
    """
    kind = ClusterLink if servers(url).seeds else RedisLink
    return kind(url, timeout_s=timeout_s)


class ClusterLink(RedisLink):
    def __init__(self, url: str, *, timeout_s: float | None = 5.0) -> None:
        super().__init__(url, timeout_s=timeout_s)
        self._nodes: dict[Address, RedisLink] = {}
        self._owners: list[Address] = []  # by slot; empty while unknown
        self._looking = Shared(self._read_owners)

    async def call(self, *words: Any) -> Answer:
        return await self._ask(_key(words), lambda node: node.call(*words))

    async def run(self, script: Script, keys: list[Any], *arguments: Any) -> Answer:
        return await self._ask(keys[0], lambda node: node.run(script, keys, *arguments))

    async def run_all(self, calls: list[Call]) -> list[Answer]:
        runs = [self.run(call.script, call.keys, *call.arguments) for call in calls]
        return await _all(runs)

    async def many(self, commands: list[tuple[Any, ...]]) -> list[Answer]:
        return await _all([self.call(*words) for words in commands], hiredis.ReplyError)

    def close(self) -> None:
        super().close()
        for node in self._nodes.values():
            node.close()

    async def _ask(self, key: str | bytes, ask: Callable[[RedisLink], Awaitable[Answer]]) -> Answer:
        slot = key_slot(key if isinstance(key, bytes) else key.encode())
        for _ in range(TRIES):
            if not self._owners:
                await self._looking()
            try:
                return await ask(self._node(self._owners[slot]))
            except RedisGone:
                self._owners = []  # a replica may have taken over
                raise
            except hiredis.ReplyError as answer:
                if not str(answer).startswith("MOVED"):
                    raise
                self._owners = []
        raise RedisGone("the slots of the cluster are on the move")

    def _node(self, address: Address) -> RedisLink:
        if self._closed:
            raise RedisGone("this link is closed")
        if address not in self._nodes:
            url = self._servers.url_of(address)
            self._nodes[address] = RedisLink(url, timeout_s=self._timeout_s)
        return self._nodes[address]

    # Slot owners ---------------------------------------------------------------------------------
    async def _read_owners(self) -> None:
        problem: Exception | None = None
        for address in dict.fromkeys((*self._servers.seeds, *self._nodes)):
            try:
                ranges = await self._node(address).call("CLUSTER", "SLOTS")
            except (RedisGone, hiredis.ReplyError) as answer:
                problem = answer
            else:
                self._owners = _owners(ranges, address)
                return
        raise RedisGone(f"no node of the cluster answers: {problem}")


async def _all(calls: Sequence[Awaitable[Answer]], *listed: type[Exception]) -> list[Answer]:
    """Wait for all calls. Raises the first failure, unless it is of a kind that is listed."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, listed):
            raise answer
    return answers


def _owners(ranges: list[Any], answered_by: Address) -> list[Address]:
    """Returns the owner of each slot.

    A node that does not know its own address leaves it out. A slot without an owner gets the
    answering node, whose error then says so.
    """
    owners = [answered_by] * SLOTS
    for first, last, (host, port, *_), *_replicas in ranges:
        owner = Address(host.decode() if host else answered_by.host, port)
        owners[first : last + 1] = [owner] * (last + 1 - first)
    return owners


def _key(words: tuple[Any, ...]) -> str | bytes:
    if words[0] == "XREAD":
        key = words[words.index("STREAMS") + 1]
    else:
        key = words[_KEY_AT.get(words[0], 1)] if len(words) > 1 else ""
    assert isinstance(key, str | bytes)
    return key
