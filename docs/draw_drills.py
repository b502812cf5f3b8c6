"""Draws docs/images/drills.svg: `python docs/draw_drills.py var/drills/drills.json`."""

import json
import sys
from pathlib import Path

from console.compliance.drills.picture import drawn

IMAGE = Path(__file__).resolve().parent / "images" / "drills.svg"

if __name__ == "__main__":
    report = json.loads(Path(sys.argv[1]).read_text())
    IMAGE.write_text(drawn(report["body"], "en") + "\n")
