"""`forebay engines …` and its like, typed against a platform that listens."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from allauth.mfa.models import Authenticator
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer

from config.command.command_line import subcommand
from inference.models import Model, Pool
from inference.queue.client import client as redis
from tenants.accounts import operator_keys
from tenants.models import OperatorKey, User
from tenants.operator_scopes import OperatorScope


class Ended(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


Forebay = Callable[..., Ended]


@pytest.fixture
def forebay(capsys: pytest.CaptureFixture[str]) -> Forebay:
    """`forebay("engines list --json")`, in this process."""

    def typed(line: str, *more: str) -> Ended:
        name, *arguments = line.split()
        capsys.readouterr()
        try:
            status: Any = subcommand(name)([*arguments, *more])
        except SystemExit as end:  # as argparse ends
            status = end.code
        return Ended(status, *capsys.readouterr())

    return typed


@pytest.fixture
def maker(transactional_db: None) -> User:
    user = User.objects.create_user("op@forebay.example", is_operator=True)
    Authenticator.objects.create(user=user, type=Authenticator.Type.TOTP, data={})
    return user


@pytest.fixture
def key(maker: User, live_server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> OperatorKey:
    """Set an operator key with every scope, and the platform's URL, in the environment."""
    for name in redis().scan_iter("api:*"):
        redis().delete(name)
    ends = timezone.now() + timedelta(days=1)
    made, text = operator_keys.make(maker, "ci", scopes=list(OperatorScope), expires_at=ends)
    monkeypatch.setenv("FOREBAY_URL", live_server.url)
    monkeypatch.setenv("FOREBAY_OPERATOR_KEY", text)
    return made


@pytest.fixture
def pool(key: OperatorKey) -> Pool:
    return Pool.add(Model.add("large", by="test"), "here", by="test")
