"""lock.py LOCK without NAME… | lock.py LOCK for NAME…: a part of the lock, to stdout.

`without` leaves packages out: the image brings no database, no Valkey and no engine of its own.
`for` takes these and all that they need, as the lock's `# via` says. Each line keeps its hashes. A
name that the lock does not have is an error: it may have been renamed.
"""

import re
import sys
from pathlib import Path

_PINNED = re.compile(r"([A-Za-z0-9._-]+)==")
_VIA = re.compile(r"^    # +(?:via )?([A-Za-z0-9][A-Za-z0-9._-]*)$", re.M)


def part(lock: str, how: str, names: list[str]) -> str:
    blocks = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.M)
    pinned = {match[1]: block for block in blocks if (match := _PINNED.match(block))}
    if missing := sorted(set(names) - pinned.keys()):
        sys.exit(f"lock.py: the lock has no {', '.join(missing)}")
    wanted = pinned.keys() - set(names) if how == "without" else _needed(pinned, set(names))
    return "".join(block for name, block in pinned.items() if name in wanted)


def _needed(pinned: dict[str, str], needed: set[str]) -> set[str]:
    more = {name for name, block in pinned.items() if needed & set(_VIA.findall(block))}
    return needed if more <= needed else _needed(pinned, needed | more)


if __name__ == "__main__":
    _, lock, how, *names = sys.argv
    sys.stdout.write(part(Path(lock).read_text(), how, names))
