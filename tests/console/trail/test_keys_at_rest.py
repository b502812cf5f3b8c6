"""The operators' page of master keys and their exchanges."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from audit.keys import rotation
from audit.keys.keyring import Keyring
from audit.keys.master_keys import MasterKeys, platform_secret
from audit.keys.master_keys.errors import MasterKeyAway
from audit.keys.master_keys.local import EnvKeys
from tenants.models import Tenant, User

pytestmark = pytest.mark.django_db
URL = "/console/keys-at-rest/"
ONE, TWO = EnvKeys([bytes([1]) * 32]), EnvKeys([bytes([2]) * 32])


@pytest.fixture
def operator() -> Client:
    client = Client()
    client.force_login(User.objects.create_user("op@forebay.invalid", is_operator=True))
    return client


def page(client: Client) -> str:
    answer = client.get(URL)
    assert answer.status_code == 200
    return answer.content.decode()


def test_before_and_after_an_exchange(operator: Client, settings: Any, tmp_path: Path) -> None:
    settings.FOREBAY_HOME, settings.MASTER_KEYS = tmp_path, MasterKeys(ONE)
    tenants = [Tenant.open(name, by="x") for name in ("acme", "globex")]
    for tenant in tenants:
        Keyring().of_subject_now(tenant.id, uuid4())
    assert "encrypted with the current master key" in page(operator)
    assert "No rotation yet" in page(operator)
    settings.MASTER_KEYS = MasterKeys(TWO, ONE)
    shown = page(operator)
    assert "rotate_keys --master" in shown
    assert "Older, decrypts only" in shown
    settings.MASTER_KEYS = MasterKeys(TWO)
    assert "Missing" in page(operator)
    settings.MASTER_KEYS = MasterKeys(TWO, ONE)
    going = rotation.start_master(by="command:rotate_keys")
    assert "0 / 2" in page(operator)
    assert "under way" in page(operator)
    rotation.advance(going)
    rotation.advance(rotation.start_tenant(tenants[0].id, by="command:rotate_keys"))
    shown = page(operator)
    assert "2 / 2" in shown
    assert "acme" in shown
    assert "manage.py rotate_keys" in shown
    assert "under way" not in shown
    assert "You can remove older master keys" in shown


def test_the_platforms_secret_counts_too(operator: Client, settings: Any, tmp_path: Path) -> None:
    settings.FOREBAY_HOME, settings.MASTER_KEYS = tmp_path, MasterKeys(ONE)
    platform_secret.read({}, tmp_path, settings.MASTER_KEYS)
    assert "You can remove older master keys" in page(operator)
    settings.MASTER_KEYS = MasterKeys(TWO, ONE)
    shown = page(operator)
    assert "own secret is encrypted with an older master key" in shown
    assert "remove older" not in shown


def test_a_kms_that_is_away(
    operator: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise MasterKeyAway("the KMS answered 503: Vault is sealed")

    monkeypatch.setattr(settings.MASTER_KEYS, "current_id", away)
    assert "Vault is sealed" in page(operator)


def test_it_is_for_operators(client: Client) -> None:
    client.force_login(User.objects.create_user("alice@acme.invalid"))
    assert client.get(URL).status_code == 403
