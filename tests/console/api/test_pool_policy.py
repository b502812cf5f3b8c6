"""When a pool takes requests is set over the API, and a fault is told with its field."""

from typing import Any

import pytest

from audit.models import Event
from tenants.models import User
from tests.console.api.conftest import Api, Enter, errors

pytestmark = pytest.mark.django_db
LIMITS = {"realtime": {"waiting": 1000, "wait_s": 60}}


@pytest.fixture
def api(operator: User, enter: Enter) -> Api:
    found = enter(operator)
    found.post("models/", name="large")
    return found


def test_a_pool_takes_requests_in_its_turn_unless_told_otherwise(api: Api) -> None:
    made = api.post("pools/", name="here", model="large").json()
    assert (made["condition"], made["overflow_after_ms"], made["limits"]) == ("always", 0, {})


def test_a_policy_is_set_changed_and_on_record(api: Api) -> None:
    given = {"condition": "overflow", "overflow_after_ms": 2000, "limits": LIMITS}
    made = api.post("pools/", name="here", model="large", **given)
    assert made.status_code == 201
    assert {name: made.json()[name] for name in given} == given
    where = f"pools/{made.json()['id']}/"
    changed = api.patch(where, made.headers["ETag"], condition="failover", limits={})
    assert (changed.json()["condition"], changed.json()["limits"]) == ("failover", {})
    assert api.patch(where, made.headers["ETag"], condition="always").status_code == 412
    detail = Event.objects.filter(action="pool:change").get().detail
    assert detail["condition"] == ["overflow", "failover"]
    assert detail["limits"] == [LIMITS, {}]


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"condition": "sometimes"}, "condition", "sometimes"),
        ({"condition": "overflow"}, "overflow_after_ms", "how many milliseconds"),
        ({"overflow_after_ms": -1}, "overflow_after_ms", "0"),
        ({"limits": {"fastest": {}}}, "limits", "no class 'fastest'"),
        ({"limits": {"batch": {"seconds": 1}}}, "limits", "waiting and wait_s"),
        ({"limits": {"batch": {"waiting": 0}}}, "limits", "waiting of batch"),
        ({"limits": {"batch": {"wait_s": True}}}, "limits", "wait_s of batch"),
        ({"limits": [1]}, "limits", "type"),
    ],
)
def test_a_fault_is_told_with_its_field(
    api: Api, given: dict[str, Any], field: str, words: str
) -> None:
    refused = api.post("pools/", name="here", model="large", **given)
    assert (refused.status_code, list(errors(refused))) == (400, [field])
    assert words in str(errors(refused))
