"""The people of the console, and their keys, at the management API."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client
from django.utils import timezone

from inference.queue.client import client as redis
from tenants.accounts import operator_keys
from tenants.models import ApiKey, Member, OperatorKey, Scope, Tenant, User
from tenants.operator_scopes import OperatorScope

API = "/api/v1/"
ALL = list(Scope.values)
Answer = Any


class Api:
    """A client of the management API: `api.post("tenants/acme/keys/", name="build")`."""

    def __init__(self, client: Client, key: str | None = None) -> None:
        self.client = client
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def get(self, path: str, headers: dict[str, str] | None = None, /, **query: Any) -> Answer:
        headers = {**self._headers, **(headers or {})}
        return self.client.get(_url(path), query, headers=headers)

    def post(self, path: str, headers: dict[str, str] | None = None, /, **body: Any) -> Answer:
        return self.send("post", path, body, headers)

    def patch(self, path: str, tag: str | None = None, **body: Any) -> Answer:
        """With the ETag of now, unless `tag` says another; "" for none."""
        return self.send("patch", path, body, self._tag(path, tag))

    def delete(self, path: str, tag: str | None = None) -> Answer:
        return self.send("delete", path, None, self._tag(path, tag))

    def send(
        self, method: str, path: str, body: Any, headers: dict[str, str] | None = None
    ) -> Answer:
        headers = {**self._headers, **(headers or {})}
        kwargs = {} if body is None else {"data": body, "content_type": "application/json"}
        return getattr(self.client, method)(_url(path), headers=headers, **kwargs)

    def _tag(self, path: str, tag: str | None) -> dict[str, str]:
        if tag is None:
            tag = self.get(path).headers.get("ETag", '"none"')
        return {"If-Match": tag} if tag else {}


def _url(path: str) -> str:
    return path if path.startswith("/") else API + path


Enter = Callable[..., Api]


@pytest.fixture
def enter(sign_in: Callable[[User | Member], Client]) -> Enter:
    """In person."""
    return lambda who: Api(sign_in(who))


@pytest.fixture
def with_key() -> Enter:
    """With a new key of the tenant; by itself it has every scope."""

    def entered(tenant: Tenant, scopes: list[str] | None = None, **settings: Any) -> Api:
        _key, text = issued(tenant, scopes, **settings)
        return Api(Client(), text)

    return entered


def issued(tenant: Tenant, scopes: list[str] | None = None, **settings: Any) -> tuple[ApiKey, str]:
    settings = {"scopes": ALL if scopes is None else scopes, **settings}
    return ApiKey.issue(tenant, "program", by="test", **settings)


def operator_key(
    maker: User, scopes: list[str] | None = None, **settings: Any
) -> tuple[OperatorKey, str]:
    """A key of an operator who has a second factor; by itself it has every scope."""
    totp = Authenticator.Type.TOTP
    Authenticator.objects.get_or_create(user=maker, type=totp, defaults={"data": {}})
    settings = {"expires_at": timezone.now() + timedelta(days=1), **settings}
    chosen = list(OperatorScope.values) if scopes is None else scopes
    return operator_keys.make(maker, "ansible", scopes=chosen, **settings)


@pytest.fixture(autouse=True)
def unhurried(settings: Any) -> None:
    """No limit per address but where a test sets one, and nothing counted before."""
    settings.ADDRESS_PER_MINUTE = 0
    for key in redis().scan_iter("api:*"):
        redis().delete(key)


def errors(answer: Answer) -> dict[str, list[str]]:
    found: dict[str, list[str]] = answer.json().get("errors", {})
    return found


PROBLEM = "application/problem+json"


async def served(scope: Any, receive: Any, send: Any) -> None:
    """The platform's ASGI application without its start, which wants workers."""
    from config.asgi import application

    if scope["type"] == "http":
        await application(scope, receive, send)
        return
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def together(act: Any, each: list[Any]) -> None:
    """Does it for each at the same moment."""
    threads = [threading.Thread(target=act, args=(one,)) for one in each]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
