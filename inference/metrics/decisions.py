"""Metrics of decision policies and contests, which the jobs process reads once a minute.

Those of drift are of the policy that has moved farthest: the console says which one it is.
"""

from typing import Any

import psycopg

from audit.figures import Throttle
from infrastructure.metrics import Gauge

SCORE = Gauge(
    "forebay_policy_score_psi",
    "Stability index of the latest scores against the evaluation, of the policy that moved most",
)
INPUT = Gauge(
    "forebay_policy_input_psi",
    "Stability index of the latest values of an input, of the policy and input that moved most",
)
CALIBRATION = Gauge(
    "forebay_policy_calibration_error",
    "Expected calibration error of decisions with feedback, of the policy where it is largest",
)
CONTESTS = Gauge(
    "forebay_contests_overdue", "Contests of decisions that nobody answered by their date"
)
_OVERDUE = "select count(*) from inference_contest where state = 'open' and due_at < now()"
_LATEST = """
    with latest as (
        select distinct on (d.policy_id) d.* from inference_policydrift d
        join inference_decisionpolicy p on p.id = d.policy_id and p.champion = d.version_number
        where d.day > current_date - 3 order by d.policy_id, d.day desc)
    select max(score_psi),
           (select max(value::float8) from latest l, jsonb_each_text(l.input_psi)),
           max(calibration_error)
    from latest"""
_throttle = Throttle()


def read(connection: psycopg.Connection[Any]) -> None:
    """Set the gauges from a connection that sees every row. Raises psycopg.Error."""
    if not _throttle.due():
        return
    row = connection.execute(_LATEST).fetchone() or (None, None, None)
    for gauge, value in zip((SCORE, INPUT, CALIBRATION), row, strict=True):
        gauge.forget() if value is None else gauge.set(value)
    (overdue,) = connection.execute(_OVERDUE).fetchone() or (0,)
    CONTESTS.set(overdue)


def forget() -> None:
    _throttle.forget()
    for gauge in (SCORE, INPUT, CALIBRATION, CONTESTS):
        gauge.forget()
