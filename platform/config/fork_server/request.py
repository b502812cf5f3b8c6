"""The request for one process. It crosses from the supervisor to the fork server as JSON in a file
without a name: the variables of a process may be longer than a message of a socket.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class ForkRequest:
    module: str  # runs as `python -m` would run it
    arguments: Sequence[str]
    environment: Mapping[str, str]
    folder: str
    supervisor: int  # pid of the parent to be
    orphan_signal: int  # comes when the supervisor dies
    yields: bool  # runs as SCHED_BATCH

    def write(self) -> int:
        """Returns the descriptor of a file with the request."""
        file = os.memfd_create("fork-request")
        with os.fdopen(os.dup(file), "w") as text:
            json.dump(asdict(self), text)
        return file

    @classmethod
    def read(cls, file: int) -> "ForkRequest":
        """Read the file and close it."""
        with os.fdopen(file) as text:
            text.seek(0)
            return cls(**json.load(text))
