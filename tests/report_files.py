"""Reports that tests write: docs/examples/models has those of one run.

FOREBAY_TEST_REPORTS names the folder for them.
"""

import os
from pathlib import Path

FOLDER = os.environ.get("FOREBAY_TEST_REPORTS")


def write(name: str, content: str | bytes) -> None:
    if FOLDER:
        file = Path(FOLDER) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
