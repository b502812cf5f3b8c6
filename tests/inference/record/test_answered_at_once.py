"""The one commit of a request whose answer is there: it costs the same after a million others."""

import pytest
from django.db import connection

from inference.record.commits import _SETTLED

pytestmark = pytest.mark.django_db


def test_whether_a_request_was_let_in_is_looked_up_by_its_id() -> None:
    with connection.cursor() as cursor:
        cursor.execute("set local enable_seqscan = off")  # there are no rows
        cursor.execute(f"explain (generic_plan) {_SETTLED.replace('%s', '$1')}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "SubPlan" in plan
    assert "Index Cond: (id = ((r." in plan
    assert "id_of_tenant" not in plan
