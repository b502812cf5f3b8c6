"""The queue page in a real Chromium: its figures move, and what is being chosen stays."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from inference.models import Completion, State
from inference.order import Item
from inference.queue.client import client as redis
from inference.queue.fair_queue import ENQUEUE, enqueue_arguments, prefix
from tenants.models import Tenant, User
from tests import chromium
from tests.console.asked import completion
from tests.console.furnished import engine_room

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    chromium.needed,
]


@pytest.fixture
def pool() -> Iterator[Any]:
    found = engine_room().pool
    yield found
    if keys := list(redis().scan_iter(f"{prefix(found.name)}:*")):
        redis().delete(*keys)


def waiting(tenant: Tenant, pool: str) -> Completion:
    row = completion(tenant, state=State.OPEN, pool=pool)
    item = Item(1, 100, 1, "realtime", str(tenant.pk), str(row.pk))
    arguments = enqueue_arguments(item, b"x", "tail")
    redis().register_script(ENQUEUE.text)(keys=[prefix(pool)], args=arguments)
    return row


def test_a_class_is_chosen_while_figures_move(
    operator: User,
    acme: Tenant,
    pool: Any,
    page: Page,
    sign_in_page: Any,
) -> None:
    row = waiting(acme, pool.name)
    sign_in_page(operator.email)
    page.goto(f"/console/pools/{pool.pk}/queue/")
    page.get_by_label("Lower class").select_option("finetune")
    second = waiting(acme, pool.name)
    expect(page.get_by_text("2 waiting, 0 running")).to_be_visible(timeout=10_000)
    expect(page.get_by_label("Lower class")).to_have_value("finetune")
    page.get_by_role("button", name="Move").click()
    expect(page.get_by_text("2 requests go to the class finetune.")).to_be_visible()
    expect(page.get_by_role("heading", name="Tenants in finetune")).to_be_visible()
    found = Completion.objects.filter(pk__in=[row.pk, second.pk]).values_list("klass", flat=True)
    assert set(found) == {"finetune"}
