"""The stage of two tenants (console/isolation), asked through Django's test client."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.test import Client
from pytest_django import DjangoDbBlocker

from console.isolation.throwaway_tenants import Person, Stage

As = Callable[[Person], Client]


@pytest.fixture(scope="module")
def set_once(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Stage]:
    """In a transaction around those of the tests, which are undone one by one."""
    around: Any = transaction.atomic()
    around._from_testcase = True  # what must be outermost may be within it, as within a test's
    with django_db_blocker.unblock():
        around.__enter__()
        made = Stage.set()
    yield made
    with django_db_blocker.unblock():
        transaction.set_rollback(True)
        around.__exit__(None, None, None)


@pytest.fixture
def stage(set_once: Stage, db: None) -> Stage:
    """As it was set: what a test does to it, the next one does not see."""
    return deepcopy(set_once)


@pytest.fixture
def as_person() -> As:
    def client(person: Person) -> Client:
        found = Client()
        found.cookies[settings.SESSION_COOKIE_NAME] = person.session
        return found

    return client
