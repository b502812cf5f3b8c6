"""Files of usage: what a spreadsheet and a program read from them."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
import pytest

from inference.usage import rollup
from inference.usage.export import exported, file_name
from inference.usage.report import Dimension, UsageReport
from inference.usage.time_range import TimeRange
from tenants.models import ApiKey, Tenant
from tests.inference.usages import used

pytestmark = pytest.mark.django_db
WEEK = TimeRange.days(date(2026, 3, 9), date(2026, 3, 15), "UTC")
NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)


@pytest.fixture
def acme(db: None) -> Tenant:
    return Tenant.open("acme", by="test")


def text(report: UsageReport, by: Dimension) -> str:
    return b"".join(exported(report, by, "csv")).decode("utf-8-sig")


def lines(report: UsageReport, by: Dimension = Dimension.MODEL) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text(report, by), newline="")))


def test_a_row_for_each_group_in_each_day(acme: Tenant) -> None:
    used(acme, NOON, model="a", cost=1_250_000, millijoules=2_500)
    used(acme, NOON, model="b", cost=1, hosted=True)
    used(acme, NOON - timedelta(days=1), model="a", ttft_ms=None, completion_tokens=1)
    rollup.roll_up()
    first, second, third = lines(UsageReport(acme, WEEK))
    assert [first["begins"], first["model"]] == ["2026-03-13T00:00:00+00:00", "a"]
    assert (first["ttft_p50_ms"], first["inter_token_p95_ms"]) == ("", "")
    assert [second["begins"][:10], second["model"], second["cost"]] == ["2026-03-14", "a", "1.25"]
    assert (third["cost"], third["requests"], third["prompt_tokens"]) == ("0.000001", "1", "12")
    assert (second["hosted"], third["hosted"]) == ("0", "1")
    assert (second["hosted_cost"], third["hosted_cost"]) == ("0", "0.000001")
    assert (second["joules"], third["joules"]) == ("2.5", "0")
    assert abs(int(second["ttft_p50_ms"]) - 80) <= 16


def test_adapters_in_a_file(acme: Tenant) -> None:
    used(acme, NOON, model="a", adapter="support")
    used(acme, NOON, model="a")
    rollup.roll_up()
    rows = lines(UsageReport(acme, WEEK), Dimension.ADAPTER)
    assert [row["adapter"] for row in rows] == ["a:support", "no adapter"]
    assert "adapter_id" not in rows[0]


def test_json_holds_the_same_with_numbers_as_numbers(acme: Tenant) -> None:
    used(acme, NOON, model="=a", cost=1_250_000)
    used(acme, NOON - timedelta(days=1), model="b")
    rollup.roll_up()
    rows = orjson.loads(b"".join(exported(UsageReport(acme, WEEK), Dimension.MODEL, "json")))
    assert [row["model"] for row in rows] == ["b", "=a"]
    assert rows[1]["cost"] == 1.25
    assert rows[1]["requests"] == 1
    assert rows[1]["begins"] == "2026-03-14T00:00:00+00:00"


def test_nothing_used(acme: Tenant) -> None:
    report = UsageReport(acme, WEEK)
    assert orjson.loads(b"".join(exported(report, Dimension.KEY, "json"))) == []
    assert lines(report, Dimension.KEY) == []
    assert text(report, Dimension.KEY).startswith("begins,key,key_id,requests,")


@pytest.mark.parametrize("begins", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_a_name_is_never_a_formula(acme: Tenant, begins: str) -> None:
    name = f'{begins}HYPERLINK("http://evil","x")'
    key, _ = ApiKey.issue(acme, "ci", by="test")
    ApiKey.objects.filter(pk=key.pk).update(name=name)
    used(acme, NOON, api_key_id=key.id)
    used(acme, NOON, model=f"{begins}cmd|' /C calc'!A0")
    rollup.roll_up()
    names = [line["key"] for line in lines(UsageReport(acme, WEEK), Dimension.KEY)]
    assert f"'{name}" in names
    models = [line["model"] for line in lines(UsageReport(acme, WEEK))]
    assert f"'{begins}cmd|' /C calc'!A0" in models


def test_a_name_with_commas_quotes_and_lines_is_one_cell(acme: Tenant) -> None:
    name = 'a "quoted", long\nname 模型'
    used(acme, NOON, model=name)
    rollup.roll_up()
    assert [line["model"] for line in lines(UsageReport(acme, WEEK))] == [name]


def test_excel_is_told_that_it_is_utf8(acme: Tenant) -> None:
    first = next(exported(UsageReport(acme, WEEK), Dimension.MODEL, "csv"))
    assert first.startswith(b"\xef\xbb\xbf")


def test_the_moments_are_in_the_tenants_zone(acme: Tenant) -> None:
    used(acme, NOON)
    rollup.roll_up()
    span = TimeRange.days(date(2026, 3, 9), date(2026, 3, 15), "Asia/Shanghai")
    assert [line["begins"] for line in lines(UsageReport(acme, span))] == [
        "2026-03-14T00:00:00+08:00"
    ]


def test_no_more_than_a_day_is_held_at_a_time(acme: Tenant, django_assert_num_queries: Any) -> None:
    for day in range(6):
        for n in range(5):
            used(acme, NOON - timedelta(days=day), model=f"m{n}")
    rollup.roll_up()
    pieces: Iterator[bytes] = exported(UsageReport(acme, WEEK), Dimension.MODEL, "csv")
    next(pieces)  # the head
    with django_assert_num_queries(1):
        assert next(pieces).count(b"\r\n") == 5
    assert [piece.count(b"\r\n") for piece in pieces] == [5] * 5


def test_the_names_of_files(acme: Tenant) -> None:
    name = file_name(UsageReport(acme, WEEK), Dimension.KEY, "csv")
    assert name == "usage-acme-2026-03-09-2026-03-15-by-key.csv"
    assert file_name(UsageReport(None, WEEK), Dimension.TENANT, "json").startswith(
        "usage-all-tenants-"
    )
