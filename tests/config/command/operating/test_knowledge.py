"""`forebay knowledge`: bases, documents and questions of a tenant, with its key."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from console.api.knowledge import bases
from inference import engines
from inference.knowledge.searching import Cited
from inference.models import Document, KnowledgeBase
from inference.queue.client import client as redis
from tenants.models import ApiKey, Scope, Tenant
from tests.config.command.operating.conftest import Forebay


@pytest.fixture(autouse=True)
def _platform(
    transactional_db: None,
    live_server: LiveServer,
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
) -> Iterator[None]:
    """A tenant's key; the model `minilm` is served."""
    settings.ENGINES = {"minilm": {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}
    engines.forget()
    for name in redis().scan_iter("api:*"):
        redis().delete(name)
    tenant = Tenant.open("acme", by="test")
    _key, secret = ApiKey.issue(tenant, "ci", scopes=list(Scope.values), by="test")
    monkeypatch.setenv("FOREBAY_URL", live_server.url)
    monkeypatch.setenv("FOREBAY_API_KEY", secret)
    monkeypatch.delenv("FOREBAY_OPERATOR_KEY", raising=False)
    yield
    engines.forget()


def test_files_are_uploaded_shown_and_removed(forebay: Forebay, tmp_path: Path) -> None:
    assert forebay("knowledge create manual minilm").out == "knowledge base manual: created\n"
    (tmp_path / "a.md").write_text("# A\nOne.")
    (tmp_path / "b.txt").write_text("x" * 800_000)
    files = [str(tmp_path / "a.md"), str(tmp_path / "b.txt")]
    dry = forebay("knowledge upload manual --dry-run", *files)
    assert "would get 2 files, 800008 bytes" in dry.out
    sent = forebay("knowledge upload manual --no-wait", *files)
    assert sent.out == "knowledge base manual: has 2 files\n"
    rows = {row["name"]: row for row in forebay("knowledge show manual --json").data}
    assert [rows[file]["bytes"] for file in files] == [8, 800_000]
    assert forebay(f"knowledge remove manual --document {files[0]}").status == 0
    assert forebay(f"knowledge remove manual --document {files[0]}").status == 1
    assert forebay("knowledge remove manual").out == "knowledge base manual: removed\n"
    assert forebay("knowledge list --json").data == []
    assert not Document.objects.present().exists()


def test_a_failed_document_ends_the_wait(
    forebay: Forebay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("config.command.knowledge._MOVING", ())
    forebay("knowledge create manual minilm")
    (tmp_path / "a.md").write_text("# A\nOne.")
    ended = forebay("knowledge upload manual", str(tmp_path / "a.md"))
    assert ended.status == 1
    assert "a.md is waiting" in ended.err


def test_a_file_that_is_not_there_and_an_unknown_format_are_told(
    forebay: Forebay, tmp_path: Path
) -> None:
    forebay("knowledge create manual minilm")
    missing = forebay("knowledge upload manual", str(tmp_path / "none.md"))
    assert (missing.status, "No such file" in missing.err) == (2, True)
    (tmp_path / "a.pdf").write_text("x")
    unknown = forebay("knowledge upload manual", str(tmp_path / "a.pdf"))
    assert unknown.status == 1
    assert "Say the format" in unknown.err
    assert "there is no knowledge base none" in forebay("knowledge show none").err


def test_a_question_lists_passages(forebay: Forebay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bases, "ask_from_thread", answering)
    forebay("knowledge create manual minilm")
    out = forebay("knowledge search manual", "how long?").out
    assert "Returns › Time limit" in out
    assert "Within thirty days." in out


def answering(_context: Any, _who: Any, base: KnowledgeBase, *_more: Any) -> list[Cited]:
    titles, text = ["Returns", "Time limit"], "Within\nthirty days."
    return [Cited(7, base.pk, "a.md", titles, "", text, 1.0, 0.5, 0.5)]
