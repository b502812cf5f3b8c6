"""Stands in for `forebay engines …`: what the role engine asks of a platform, in a folder.

`forebay_program.py FOLDER WORDS…`. FOLDER/platform.json has the engines; FOLDER/calls every act.
`never_ready` there names engines that the platform never finds ready, `drains_with` engines that
another run drains in the same moment.
"""

import fcntl
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def main(folder: Path, words: Sequence[str]) -> None:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        file = folder / "platform.json"
        platform = json.loads(file.read_text())
        noun, act, name = [*words, ""][:3]
        answer = _act(platform, act, name, words) if noun == "engines" else {"changed": False}
        file.write_text(json.dumps(platform))
        if act not in ("list", "show"):
            with (folder / "calls").open("a") as calls:
                calls.write(" ".join(words[:3]) + "\n")
    print(json.dumps(answer))


def _act(platform: dict[str, Any], act: str, name: str, words: Sequence[str]) -> Any:
    engines = platform["engines"]
    if act == "list":
        return list(engines.values())
    row = engines[name]
    if act == "drain":
        for each in (name, *platform.get("drains_with", [])):
            engines[each] |= {"state": "draining", "draining": True}
    if act == "resume":
        state = "down" if name in platform.get("never_ready", []) else "ready"
        row |= {"state": state, "draining": False}
    if act == "set":
        options = [word for word in words if word.startswith("version=")]
        row["options"] = {"version": json.loads(options[0].removeprefix("version="))}
    return row if act == "show" else {"changed": act != "set", "engine": row}


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
