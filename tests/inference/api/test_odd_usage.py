"""Figures that an engine made up cost nobody an answer that is settled."""

from datetime import UTC, datetime
from typing import Any

import pytest

from inference.api import limit_headers
from inference.api.grpc import answers
from inference.api.grpc.stubs.forebay.v1 import inference_pb2 as pb
from tenants.quotas.charge import Charge
from tenants.quotas.ledger_answer import QuotaRest, Verdict
from tests.inference.orders import an_order

ODD = [
    {"prompt_tokens": "12"},
    {"prompt_tokens": -5},
    {"prompt_tokens": True},
    {"completion_tokens": 1e300},
    {"prompt_tokens_details": ["cached"]},
    {"prompt_tokens_details": {"cached_tokens": "8"}},
]


@pytest.mark.parametrize("odd", ODD)
def test_headers_of_quotas_count_them_as_nothing(odd: dict[str, Any]) -> None:
    left = QuotaRest("tokens", 1_000, 100, datetime(2030, 1, 1, tzinfo=UTC))
    order = an_order(charge=Charge(prompt_tokens=20, completion_tokens=30))
    told = dict(limit_headers.quota_headers_after(Verdict((left,)), order, odd, ""))
    assert told[b"x-quota-remaining-tokens"] == b"150"


@pytest.mark.parametrize("odd", ODD)
def test_a_call_over_grpc_is_told_nothing(odd: dict[str, Any]) -> None:
    counted = answers.usage(odd)
    assert counted
    assert pb.Usage(**counted) == pb.Usage()
