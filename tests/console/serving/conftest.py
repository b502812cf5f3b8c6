from typing import Any

import pytest
from django.test import Client

from audit.models import Event
from inference.models import Engine, Model, Pool
from tenants.models import User
from tests.console.conftest import SignIn

MODELS, POOLS, ENGINES = "/console/models/", "/console/pools/", "/console/pools/engines/"
URL = "http://gpu-1:8000/v1"
BY = "test"


@pytest.fixture
def client(operator: User, sign_in: SignIn) -> Client:
    return sign_in(operator)


@pytest.fixture
def model(db: None) -> Model:
    return Model.add("large", by=BY)


@pytest.fixture
def pool(model: Model) -> Pool:
    return Pool.add(model, "here", by=BY)


@pytest.fixture
def engine(pool: Pool) -> Engine:
    return Engine.add(pool, "gpu-1", by=BY, kind="vllm", url=URL, slots=4, api_key="sk-hidden")


def page(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def sent(client: Client, path: str, **form: Any) -> str:
    """The page that follows."""
    answer = client.post(path, form, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def acts(action: str) -> list[tuple[str, Any]]:
    """Who has done it, and with what."""
    found = Event.objects.filter(action=action).order_by("id")
    return [(event.actor, event.detail) for event in found]


def changed(client: Client, engine: Engine, **form: Any) -> str:
    """As the form of its page sends it."""
    path = f"{ENGINES}{engine.pk}/"
    known = client.get(path).context["form"]["known"].initial
    return sent(client, path, known=known, **form)
