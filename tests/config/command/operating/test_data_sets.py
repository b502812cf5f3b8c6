"""`forebay data-sets`, with a key of the tenant."""

from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

from inference.data_sets import importing
from inference.models import DataSetVersion
from inference.queue.client import client as redis
from tenants.models import ApiKey, Scope, Tenant
from tests.config.command.operating.conftest import Forebay
from tests.inference.data_sets.conftest import chat, jsonl

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def key(live_server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> ApiKey:
    for name in redis().scan_iter("api:*"):
        redis().delete(name)
    scopes = [Scope.MANAGEMENT_READ, Scope.MANAGEMENT_WRITE]
    made, text = ApiKey.issue(Tenant.open("acme", by="test"), "ci", scopes=scopes, by="test")
    monkeypatch.setenv("FOREBAY_URL", live_server.url)
    monkeypatch.setenv("FOREBAY_API_KEY", text)
    return made


def test_a_file_is_uploaded_shown_and_removed(forebay: Forebay, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(jsonl([chat("x" * 5_000)] * 300))  # more than a piece
    assert forebay(f"data-sets upload manual {file}").status == 2  # which format?
    upload = f"data-sets upload manual {file} --format chats --no-wait"
    assert forebay(f"{upload} --dry-run").out.startswith("data set manual: would get")
    assert forebay(upload).out == "data set manual@1: importing\n"
    importing.import_due()
    assert forebay("data-sets list --json").data[0]["name"] == "manual"
    (version,) = forebay("data-sets show manual --json").data
    assert (version["state"], version["rows"]) == ("ready", 300)
    assert forebay("data-sets report manual 1 --json").data["report"]["read"] == 300
    assert forebay("data-sets remove manual --version 1").out == "data set manual@1: removed\n"
    assert forebay("data-sets remove manual").status == 0
    assert "there is no data set" in forebay("data-sets show manual").err


def test_what_cannot_be_read_ends_with_a_reason(
    forebay: Forebay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pages.zip"
    file.write_bytes(b"PK\x03\x04 broken")
    monkeypatch.setattr("time.sleep", lambda _seconds: importing.import_due())
    ended = forebay(f"data-sets upload manual {file}")
    assert (ended.status, ended.err) == (1, "forebay data-sets: it is failed: archive_broken\n")
    assert DataSetVersion.objects.get().problem == "archive_broken"


def test_without_a_key_it_says_which(forebay: Forebay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FOREBAY_API_KEY")
    ended = forebay("data-sets list")
    assert (ended.status, "FOREBAY_API_KEY_FILE" in ended.err) == (2, True)
