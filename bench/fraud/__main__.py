"""python -m bench.fraud FOLDER [--seed N] [--epochs N] [--threads N]"""

import argparse
import json
from pathlib import Path

from bench.fraud.model import Trainer
from bench.fraud.rows import Sizes, split
from bench.servers.child import REPOSITORY

RATE = 1e-3  # chosen in an earlier trial, on other rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.fraud")
    parser.add_argument("folder", type=Path, help="of orders, their results and the report")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--python", type=Path, default=REPOSITORY / ".venv-train/bin/python")
    options = parser.parse_args()
    rows = split(options.seed, Sizes())
    folder = options.folder.absolute() / f"seed-{options.seed}"
    trainer = Trainer(options.python, folder, options.seed, options.threads)
    base = trainer.base()
    adapter = trainer.adapter(base, rows, epochs=options.epochs, rate=RATE)
    scores = {
        name: trainer.scores(name, base, adapter, getattr(rows, name))
        for name in ("test", "calibration", "balanced")
    }
    (folder / "scores.json").write_text(json.dumps(scores))


if __name__ == "__main__":
    main()
