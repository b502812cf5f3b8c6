"""How many evaluations of a tenant are under way, also where they are begun together."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, BrokenBarrierError
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from inference.models import Evaluation
from inference.models.evaluations import evaluation
from tenants.models import ApiKey, Tenant
from tests.console.evaluations.reported import task_set


@pytest.mark.django_db(transaction=True)
def test_two_requests_at_the_same_time_do_not_get_past_the_bound(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "MOST_UNDER_WAY", 1)
    tasks, (key, _text) = task_set(acme), ApiKey.issue(acme, "nightly", by="test")
    both, save = Barrier(2), Evaluation.save

    def save_together(row: Evaluation, *arguments: Any, **named: Any) -> None:
        with suppress(BrokenBarrierError):
            both.wait(0.5)
        save(row, *arguments, **named)

    def begin() -> bool:
        try:
            Evaluation.create(tasks, "support", by="test", caller=key)
        except ValidationError:
            return False
        finally:
            connection.close()
        return True

    monkeypatch.setattr(Evaluation, "save", save_together)
    with ThreadPoolExecutor(2) as threads:
        begun = [threads.submit(begin) for _ in range(2)]
    assert sorted(each.result() for each in begun) == [False, True]
    assert Evaluation.objects.count() == 1
