"""python -m bench.fraud FOLDER [--seeds 1,2,3,4,5] [--without-model] [--epochs N] [--threads N]"""

import argparse
import json
from pathlib import Path

from bench.figures import tell
from bench.fraud import pages, results
from bench.fraud.model import Trainer
from bench.fraud.results import PARTS, Scores
from bench.fraud.rows import Sizes, Split, split
from bench.servers.child import REPOSITORY

RATE = 1e-3  # chosen in an earlier trial, on other rows


def main() -> None:
    options = _options()
    runs = []
    for seed in map(int, options.seeds.split(",")):
        tell(f"seed {seed}")
        rows, folder = split(seed, Sizes()), options.folder.absolute() / f"seed-{seed}"
        model = None if options.without_model else _model(options, rows, folder, seed)
        scorers = results.scorers(rows, model)
        runs.append({name: results.figures(each, rows) for name, each in scorers.items()})
        folder.mkdir(exist_ok=True)
        pages.write(folder, rows, scorers)
    (options.folder / "figures.json").write_text(json.dumps(runs, indent=1))
    print(results.table(runs))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.fraud")
    parser.add_argument("folder", type=Path, help="of orders, their results and the reports")
    parser.add_argument("--seeds", default="1,2,3,4,5")
    parser.add_argument("--without-model", action="store_true", help="trees alone: a minute a seed")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--python", type=Path, default=REPOSITORY / ".venv-train/bin/python")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    return options


def _model(options: argparse.Namespace, rows: Split, folder: Path, seed: int) -> Scores:
    """Returns the model's raw scores of each part."""
    trainer = Trainer(options.python, folder, seed, options.threads)
    base = trainer.base()
    adapter = trainer.adapter(base, rows, epochs=options.epochs, rate=RATE)
    return {name: trainer.scores(name, base, adapter, getattr(rows, name)) for name in PARTS}


if __name__ == "__main__":
    main()
