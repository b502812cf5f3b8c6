"""`forebay tree`: from a file of labelled rows to the tree of a policy."""

import random
from pathlib import Path

import msgspec
import pytest

from config.command.tree import tree
from inference.decisions.tree import Tree, check, probability

pytestmark = pytest.mark.unit


def write(path: Path, rows: int) -> Path:
    chance = random.Random(1)
    lines = ["amount,shop,card,fraud"]
    for number in range(rows):
        amount = chance.randrange(100)
        lines.append(f"{amount},{chance.choice(['tea', 'bank'])},c{number},{int(amount > 60)}")
    path.write_text("\n".join(lines))
    return path


def test_it_prints_a_tree_that_a_policy_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "rows.csv", 6000)  # more than an upload has
    assert tree([str(path), "--label", "fraud", "--leave-out", "card"]) == 0
    made = msgspec.json.decode(capsys.readouterr().out, type=Tree)
    check(made)
    assert set(made.features) == {"amount", "shop=tea", "shop=bank"}
    assert probability(made, {"amount": 90}) > 0.9 > 0.1 > probability(made, {"amount": 10})
    assert made.about["rows"] == 6000


@pytest.mark.parametrize(
    ("rows", "label", "words"),
    [(20, "fraud", "at least 100 rows"), (200, "label", "lacks the column label")],
)
def test_rows_that_cannot_be_fitted_are_refused_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: int, label: str, words: str
) -> None:
    path = write(tmp_path / "rows.csv", rows)
    assert tree([str(path), "--label", label]) == 1
    assert words in capsys.readouterr().err


def test_a_file_that_is_not_there_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert tree(["/nowhere/rows.csv"]) == 1
    assert "/nowhere/rows.csv" in capsys.readouterr().err
