"""Model versions for the server of engine_program.py."""

import hashlib
import json
from pathlib import Path
from typing import Any

from tests.ansible.machines import Machine

PORT = 9000
PROGRAM = Path(__file__).with_name("engine_program.py")


class Versions:
    """A folder of the machine, /models/VERSION, from which versions come."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def add(self, version: str, words: str, fault: str = "") -> dict[str, Any]:
        """Returns the variables with which the role brings it."""
        text = json.dumps({"words": words, "fault": fault})
        self._machine.write(f"/models/{version}/model.json", text)
        return {
            "engine_version": version,
            "engine_source": {"kind": "folder", "path": f"/models/{version}"},
            "engine_checksums": {"model.json": hashlib.sha256(text.encode()).hexdigest()},
        }
