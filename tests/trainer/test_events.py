"""Events are whole lines, whatever ended the process that wrote them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainer.events import Events

pytestmark = pytest.mark.unit


@pytest.fixture
def events(tmp_path: Path) -> Iterator[Events]:
    with Events(tmp_path) as events:
        yield events


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def test_a_reader_sees_each_event_at_once(tmp_path: Path, events: Events) -> None:
    events.metric(step=1, epoch=0.5, train_loss=2.5, tokens=100)
    assert lines(tmp_path) == [
        {
            "type": "metric",
            "step": 1,
            "epoch": 0.5,
            "train_loss": 2.5,
            "held_out_loss": None,
            "tokens": 100,
        }
    ]
    events.progress(1, 3, "steps")
    assert lines(tmp_path)[1] == {"type": "progress", "done": 1, "of": 3, "unit": "steps"}


def test_the_line_that_a_kill_cut_off_is_dropped(tmp_path: Path) -> None:
    with Events(tmp_path) as events:
        events.info("one", "whole")
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"type": "messa')
    with Events(tmp_path) as events:
        events.warning("two", "whole too")
    assert [line["code"] for line in lines(tmp_path)] == ["one", "two"]


def test_metrics_beyond_a_checkpoint_are_dropped(tmp_path: Path, events: Events) -> None:
    for step in range(4):
        events.metric(step=step, epoch=0, train_loss=1.0, tokens=step)
    events.keep(lambda event: event["step"] < 2)
    events.metric(step=2, epoch=0, train_loss=0.5, tokens=2)
    assert [line["step"] for line in lines(tmp_path)] == [0, 1, 2]


def test_an_error_has_the_size_that_fits_where_there_is_one(tmp_path: Path, events: Events) -> None:
    events.error("out_of_memory", "Too large", fits={"batch": 2})
    events.error("bad_line", "Line 3")
    first, second = lines(tmp_path)
    assert first["fits"] == {"batch": 2}
    assert "fits" not in second
