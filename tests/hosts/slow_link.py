"""A slow link that loses packets, for TCP: `python -m tests.hosts.slow_link PORT=HOST:PORT …`.

What `tc qdisc … netem` does in the kernel, where that has it, a relay does here: each way all comes
DELAY_S later, and now and then LOSS_S more, as a packet does that has to be sent again.
"""

import asyncio
import random
import sys

DELAY_S, LOSS_S, LOSSES = 0.05, 0.25, 0.01


async def _relay(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int
) -> None:
    there, there_writer = await asyncio.open_connection(host, port)
    try:
        await asyncio.gather(_late(reader, there_writer), _late(there, writer))
    finally:
        for each in (writer, there_writer):
            each.close()


async def _late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Whatever comes, in its order; how much may be under way nothing limits."""
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    sending = asyncio.create_task(_send(waiting, writer))
    loop, due = asyncio.get_running_loop(), 0.0
    while data := await reader.read(65_536):
        late = LOSS_S if random.random() < LOSSES else 0.0
        due = max(due, loop.time() + DELAY_S + late)
        waiting.put_nowait((due, data))
    waiting.put_nowait((due, b""))
    await sending


async def _send(
    waiting: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter
) -> None:
    while True:
        due, data = await waiting.get()
        await asyncio.sleep(due - asyncio.get_running_loop().time())
        if not data:
            return writer.close()
        writer.write(data)


async def _serve(links: list[str]) -> None:
    for link in links:
        here, _, there = link.partition("=")
        host, _, port = there.rpartition(":")

        async def relay(
            r: asyncio.StreamReader,
            w: asyncio.StreamWriter,
            to: tuple[str, int] = (host, int(port)),
        ) -> None:
            await _relay(r, w, *to)

        await asyncio.start_server(relay, "127.0.0.1", int(here))
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1:]))
