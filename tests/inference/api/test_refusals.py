"""What went wrong here says whether it is worth another try."""

import psycopg
import pytest
from django import db

from audit.keys.master_keys.errors import MasterKeyAway
from inference.api.refusals import as_error

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "problem",
    [
        db.OperationalError("connection timeout expired"),
        psycopg.OperationalError("the connection is lost"),
        psycopg.errors.ConnectionTimeout("connection timeout expired"),
        MasterKeyAway("no answer"),
    ],
)
def test_without_postgresql_a_request_may_be_sent_again(problem: Exception) -> None:
    """Files, batches and streams that are read again ask it before they have an order."""
    error = as_error(problem)
    assert (error.status, error.retry_after) == (503, 2)
    assert "connection" not in error.message


@pytest.mark.parametrize("problem", [db.DataError("too long"), ZeroDivisionError()])
def test_a_fault_of_ours_is_no_outage(problem: Exception) -> None:
    error = as_error(problem)
    assert (error.status, error.retry_after) == (500, 0)
