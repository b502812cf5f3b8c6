"""Rows that nobody ordered come the other way round: who counts on an order fails each time.

A pytest plugin. PostgreSQL gives them in any order it likes, mostly the one of insertion, so that
a test which forgot `order_by` fails once in hundreds of runs. This is SQLite's
`reverse_unordered_selects` for the ORM of the tests' own process.
"""

from typing import Any

from django.db.models.query import QuerySet

_fetch_all = QuerySet._fetch_all


def _fetch_and_turn_round(rows: Any) -> None:
    """Stands in for `QuerySet._fetch_all`. Turns a result round once, when it has been read."""
    unread = rows._result_cache is None
    _fetch_all(rows)
    if unread and not rows.ordered:
        rows._result_cache.reverse()


QuerySet._fetch_all = _fetch_and_turn_round  # type: ignore[method-assign, assignment]  # Django has no setting
