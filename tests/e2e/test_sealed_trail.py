"""On a running platform: receipts at once, seals and witnesses within seconds, and it verifies."""

import base64
import json
from typing import Any

import pytest

from audit.offline import forebay_verify
from tests.e2e.ask import chat, client, events, eventually, stream
from tests.e2e.conftest import Mock, Platform

pytestmark = pytest.mark.e2e


def heard(platform: Platform) -> list[dict[str, Any]]:
    path = platform.home / "witness" / "checkpoints.jsonl"
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_receipts_seals_and_witnesses(staged: Platform, mock: Mock) -> None:
    answer = chat(staged, max_tokens=3)
    receipts = [answer.headers["x-audit-receipt"]]
    with stream(staged, max_tokens=3) as streamed:
        receipts.append(streamed.headers["x-audit-receipt"])
        list(events(streamed.iter_lines()))
    with client(staged) as asking:  # refused: nothing is on record that a receipt could be of
        refused = asking.post("/v1/chat/completions", json={"model": "mock"})
    assert (refused.status_code, "x-audit-receipt" in refused.headers) == (400, False)

    def all_sealed() -> bool:
        found = json.loads(staged.manage("audit_verify", "--json"))
        assert found["ok"], found
        return bool(found["figures"].get("sealed", 0) >= 4 and not found["figures"].get("waiting"))

    assert eventually(all_sealed, 30)
    checkpoints = eventually(lambda: heard(staged))
    assert [one["n"] for one in checkpoints] == list(range(1, len(checkpoints) + 1))
    key = base64.b64decode(checkpoints[0]["public_key"])
    for receipt in receipts:
        assert forebay_verify.verify_receipt(receipt, [key]).ok
