"""When a pool takes requests is set over the API, and a fault is told with its field."""

from typing import Any

import pytest

from audit.models import Event
from tenants.models import User
from tests.console.api.conftest import Api, Enter, errors

pytestmark = pytest.mark.django_db
LIMITS = {
    "realtime": {"waiting": 1000, "wait_s": 60, "reserved": 2},
    "batch": {"share": 0.1, "share_after_s": 30, "ageing_s": 600},
}


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
        (
            {"limits": {"batch": {"seconds": 1}}},
            "limits",
            "waiting, wait_s, share, share_af",
        ),
        ({"limits": {"batch": {"waiting": 0}}}, "limits", "waiting of batch"),
        ({"limits": {"batch": {"wait_s": True}}}, "limits", "wait_s of batch"),
        ({"limits": {"batch": {"share": 0.9}}}, "limits", "share of batch must be 0 to 0.8"),
        ({"limits": {"batch": {"share": "5 %"}}}, "limits", "share of batch"),
        (
            {"limits": {"batch": {"share": 0.5}, "finetune": {"share": 0.4}}},
            "limits",
            "all shares together must be at most 0.8",
        ),
        ({"limits": {"batch": {"share_after_s": -1}}}, "limits", "share_after_s of batch"),
        ({"limits": {"batch": {"ageing_s": 1e9}}}, "limits", "ageing_s of batch"),
        ({"limits": {"realtime": {"reserved": 1.5}}}, "limits", "reserved of realtime"),
        ({"limits": {"realtime": {"reserved": -1}}}, "limits", "reserved of realtime"),
        ({"limits": [1]}, "limits", "type"),
    ],
)
def test_a_fault_is_told_with_its_field(
    api: Api, given: dict[str, Any], field: str, words: str
) -> None:
    refused = api.post("pools/", name="here", model="large", **given)
    assert (refused.status_code, list(errors(refused))) == (400, [field])
    assert words in str(errors(refused))
