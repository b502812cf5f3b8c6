"""The verification that docs/api/webhooks.md shows works as it stands."""

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from config.environment import PROJECT
from infrastructure.webhooks import signing

pytestmark = pytest.mark.unit
BODY = b'{"arguments": {"order": "A-1"}}'


@pytest.fixture
def is_genuine() -> Callable[[Mapping[str, str], bytes, str], bool]:
    page = (PROJECT / "docs" / "api" / "webhooks.md").read_text()
    [program] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(program, names)  # noqa: S102  # our own page
    checked: Callable[[Mapping[str, str], bytes, str], bool] = names["is_genuine"]
    return checked


def test_a_request_of_ours_is_genuine_with_either_secret(is_genuine: Any) -> None:
    present, former, other = (signing.new_secret() for _ in range(3))
    headers = signing.headers([present, former], "id", int(time.time()), BODY)
    assert is_genuine(headers, BODY, present)
    assert is_genuine(headers, BODY, former)
    assert not is_genuine(headers, BODY, other)


def test_another_body_id_or_time_is_not(is_genuine: Any) -> None:
    secret = signing.new_secret()
    headers = dict(signing.headers([secret], "id", int(time.time()), BODY))
    assert not is_genuine(headers, BODY + b" ", secret)
    assert not is_genuine({**headers, signing.ID: "other"}, BODY, secret)
    later = {**headers, signing.TIMESTAMP: str(int(headers[signing.TIMESTAMP]) + 1)}
    assert not is_genuine(later, BODY, secret)


def test_an_old_request_is_not(is_genuine: Any) -> None:
    secret = signing.new_secret()
    old = signing.headers([secret], "id", int(time.time()) - 301, BODY)
    assert not is_genuine(old, BODY, secret)
