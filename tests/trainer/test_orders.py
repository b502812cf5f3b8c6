"""An order is checked against the table of kinds before anything is done."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.process import run
from trainer.kinds import KINDS
from trainer.order import Order, parameters_of
from trainer.refusals import Exit, Refusal

pytestmark = pytest.mark.unit


def fields(folder: Path, **more: object) -> dict[str, Any]:
    folders = {"output": str(folder / "output"), "checkpoints": str(folder / "checkpoints")}
    return {"kind": "prepare", "data": {"train": str(folder)}, **folders, **more}


def test_an_order_has_every_parameter_of_its_kind(tmp_path: Path) -> None:
    order = Order.of(fields(tmp_path, parameters={"held_out": 10}, threads=2, seed=7))
    assert order.parameters["held_out"] == 10.0
    assert order.parameters["mask"] is True
    assert set(order.parameters) == {each.name for each in KINDS["prepare"].parameters}
    assert (order.threads, order.seed, order.base, order.train) == (2, 7, None, tmp_path)
    assert order.output.is_dir()


@pytest.mark.parametrize("kind", KINDS)
def test_each_default_is_in_its_own_bounds(kind: str) -> None:
    defaults = parameters_of(kind, {})
    assert parameters_of(kind, defaults) == defaults
    assert all(each.meaning for each in KINDS[kind].parameters)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"kind": "guess"}, "unknown_kind"),
        ({"kind": ["prepare"]}, "unknown_kind"),
        ({"colour": 1}, "unknown_key"),
        ({"data": {"test": "/"}}, "unknown_key"),
        ({"data": {}}, "missing_key"),
        ({"kind": "quantise"}, "missing_key"),
        ({"data": {"train": "somewhere"}}, "bad_key"),
        ({"data": {"train": "/nowhere/at/all"}}, "missing_file"),
        ({"data": []}, "missing_key"),
        ({"output": "output"}, "bad_key"),
        ({"threads": 0}, "bad_key"),
        ({"threads": True}, "bad_key"),
        ({"parameters": {"colour": 1}}, "unknown_key"),
        ({"parameters": {"mask": 1}}, "bad_parameter"),
        ({"parameters": {"samples": True}}, "bad_parameter"),
        ({"parameters": {"samples": -1}}, "bad_parameter"),
        ({"parameters": {"held_out": float("nan")}}, "bad_parameter"),
        ({"parameters": {"held_out": None}}, "bad_parameter"),
        ({"parameters": {"form": "pickle"}}, "bad_parameter"),
    ],
)
def test_a_wrong_order_is_refused(tmp_path: Path, more: dict[str, object], code: str) -> None:
    with pytest.raises(Refusal) as refusal:
        Order.of(fields(tmp_path, **more))
    assert (refusal.value.ending, refusal.value.code) == (Exit.BAD_ORDER, code)


def test_a_refusal_names_the_parameter_and_its_bounds() -> None:
    with pytest.raises(Refusal, match="rank must be a whole number at least 1 and at most 256"):
        parameters_of("fine-tune", {"rank": 0})


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"kind": 1}'])
def test_a_file_that_is_no_order_ends_the_process_with_64(tmp_path: Path, text: str) -> None:
    path = tmp_path / "order.json"
    path.write_text(text)
    with pytest.raises(Refusal) as refusal:
        Order.read(path)
    assert refusal.value.ending == Exit.BAD_ORDER


def test_the_process_refuses_with_64_and_a_sentence(tmp_path: Path) -> None:
    run_ = run(tmp_path, "prepare", colour="red")
    assert (run_.code, run_.events) == (64, [])
    assert run_.stderr.startswith("Unknown key: colour (known: base, checkpoints, ")


def test_parameters_are_json(tmp_path: Path) -> None:
    assert json.loads(json.dumps(parameters_of("distil", {})))["kl"] == 1.0
