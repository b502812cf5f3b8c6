"""`python -m tests.drills`: drills in a home of their own."""

import os
import sys
import tempfile
from pathlib import Path


def main() -> int:
    folder = Path(tempfile.mkdtemp(prefix="forebay-drills-"))
    folder.chmod(0o755)
    # Before config.environment reads it: the keys of a platform in var are not the drill's.
    os.environ["FOREBAY_HOME"] = str(folder / "home")
    from tests.drills import command

    return command.run(folder)


if __name__ == "__main__":
    sys.exit(main())
