"""A request's class is its plan's and its route's; its client may only lower it."""

from dataclasses import replace

import pytest

from inference import classes
from inference.errors import BadRequest
from inference.intake.work_class import HEADER, work_class
from tests.tenants.callers import caller

pytestmark = pytest.mark.unit
ROUTE = "/v1/chat/completions"


def test_plan_and_route_say_it(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [("standard", "/v1/inference", "batch"), *classes.ASSIGNED]
    monkeypatch.setattr(classes, "ASSIGNED", lines)
    standard = caller(tier="standard")
    assert work_class(standard, "/v1/inference") == "batch"
    assert work_class(standard, ROUTE) == "realtime"
    assert work_class(replace(standard, tier="vip"), "/v1/inference") == "realtime"
    assert work_class(standard, "/v1/batches") == "batch"


@pytest.mark.parametrize("asked", ["batch", " Batch "])
def test_a_client_may_lower_it(asked: str) -> None:
    assert work_class(caller(), ROUTE, asked) == "batch"
    assert work_class(caller(), ROUTE, "realtime") == "realtime"


@pytest.mark.parametrize("asked", ["", "vip", "finetune", "realtime,batch", "batch|realtime", "*"])
def test_another_name_is_refused_with_those_that_there_are(asked: str) -> None:
    with pytest.raises(BadRequest, match="`realtime` or `batch`") as refused:
        work_class(caller(), ROUTE, asked)
    assert (refused.value.status, refused.value.param) == (400, HEADER)


def test_a_client_cannot_raise_it() -> None:
    assert work_class(caller(), "/v1/batches", "batch") == "batch"
    with pytest.raises(BadRequest, match="`batch`") as refused:
        work_class(caller(), "/v1/batches", "realtime")
    assert "realtime" not in str(refused.value)


def test_every_class_of_the_table_is_one_of_work() -> None:
    assert {name for *_, name in classes.ASSIGNED} <= set(classes.CLASSES)
    assert classes.ASSIGNED[-1][:2] == ("*", "*")
