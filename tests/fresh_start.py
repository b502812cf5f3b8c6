"""The settings as a new process reads them from its environment."""

import os
import subprocess
import sys

from config.environment import PROJECT

SHOW = "import config.settings as s; print(s.ADDRESS_PER_MINUTE, s.BATCH_LINES, s.PROFILE)"


def started(show: str = SHOW, **variables: str) -> subprocess.CompletedProcess[str]:
    mine = {name: value for name, value in os.environ.items() if not name.startswith("FOREBAY_")}
    home = {"FOREBAY_HOME": os.environ.get("FOREBAY_HOME", str(PROJECT / "var"))}
    return subprocess.run(
        [sys.executable, "-c", show],
        env={**mine, **home, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
