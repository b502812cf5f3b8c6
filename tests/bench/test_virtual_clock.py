"""Under the simulator's clock nothing else tells a script the time."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import settings

from bench.simulate.virtual_link import CLOCK, EPOCH_MS, VirtualLink
from inference.order import Item
from inference.queue import fair_queue
from inference.queue.fair_queue import LEASE_MS, FairQueue, prefix

SCRIPTS = Path(fair_queue.__file__).parent
CALLED = re.compile(r"redis\.p?call\(\s*'(\w+)'")
BY_CLOCK_OR_CHANCE = re.compile(
    r"TIME|\w*EXPIRE(AT|TIME)?|P?TTL|P?SETEX|GETEX|SPOP|\w*RAND\w*|OBJECT|XADD|WAIT\w*"
)


@pytest.fixture
async def link() -> AsyncIterator[VirtualLink]:
    found = VirtualLink(settings.REDIS_URL)
    yield found
    found.close()


def commands(text: str) -> set[str]:
    return set(CALLED.findall(text))


@pytest.mark.unit
@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.lua")), ids=lambda path: path.stem)
def test_no_script_has_another_clock(path: Path) -> None:
    """A new command that looks at the clock, or draws, must be made virtual as well."""
    text = path.read_text()
    virtual = set(re.findall(r"^  (\w+) = function", CLOCK, re.MULTILINE))
    used = {name for name in commands(text) if BY_CLOCK_OR_CHANCE.fullmatch(name)}
    assert used <= virtual
    assert not re.search(r"os\.(time|clock)|math\.random|redis\.pcall", text)
    assert len(re.findall(r"redis\.call\(", text)) == len(re.findall(CALLED, text)) + len(
        re.findall(r"redis\.call\((?!\s*')", text)
    )


async def test_leases_and_notes_are_of_the_virtual_time(link: VirtualLink) -> None:
    pool = f"test-{uuid4().hex}"
    queue = FairQueue(link, pool)
    link.set_clock(prefix(pool), 3600)
    assert await queue.pop(1, "e1") == []  # it is parked
    item = Item(1, 10, 1, "realtime", "acme", "one")
    await queue.enqueue(item, b"sealed")
    assert await link.call("LPOP", f"{prefix(pool)}:notes", 10) == [b"e1 wake"]
    assert await queue.pop(1, "e1") == [(item, b"sealed")]
    deadline = await link.call("ZSCORE", f"{prefix(pool)}:leases", str(item))
    assert float(deadline) == EPOCH_MS + 3_600_000 + LEASE_MS
