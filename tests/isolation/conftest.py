"""The stage of two tenants (console/isolation), asked through Django's test client."""

from collections.abc import Callable

import pytest
from django.conf import settings
from django.test import Client

from console.isolation.stage import Person, Stage

As = Callable[[Person], Client]


@pytest.fixture
def stage(db: None) -> Stage:
    return Stage.set()


@pytest.fixture
def as_person() -> As:
    def client(person: Person) -> Client:
        found = Client()
        found.cookies[settings.SESSION_COOKIE_NAME] = person.session
        return found

    return client
