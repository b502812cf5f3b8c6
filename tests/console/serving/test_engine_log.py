"""The log of a server of ours, on the page of its engine."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import translation

from inference.models import Engine, Pool
from tenants.models import Member
from tests.console.conftest import SignIn
from tests.console.serving.conftest import BY, ENGINES, page

KEY = "the-key-of-the-server"


@pytest.fixture
def log(settings: Any, tmp_path: Path) -> Path:
    settings.FOREBAY_HOME = tmp_path
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs" / "engine.deepseek-ai-r1.log"


@pytest.fixture
def launched(pool: Pool, log: Path) -> Engine:
    return Engine.add(
        pool,
        "deepseek-ai/r1",
        by=BY,
        kind="vllm",
        url="http://127.0.0.1:9/v1",
        api_key=KEY,
        options={"launch": {"model": "m"}},
    )


def test_its_last_lines_are_shown_without_secrets(
    client: Client, launched: Engine, log: Path
) -> None:
    lines = [f"line {number}" for number in range(300)]
    odd = [f"\x1b[32mkey {KEY}\x1b[0m", "sk-" + "a" * 48, "<b>", "0%\r100%\r", "x" * 9000]
    log.write_text("\n".join([*lines, *odd, ""]))
    for path in (f"{ENGINES}{launched.pk}/", f"{ENGINES}{launched.pk}/log/"):
        found = page(client, path)
        assert "line 299" in found
        assert "line 99\n" not in found
        assert "key …\n" in found
        assert "&lt;b&gt;" in found
        assert "100%" in found
        for hidden in (KEY, "a" * 48, "\x1b", "0%\r", "x" * 501):
            assert hidden not in found


def test_only_what_is_new_is_sent(client: Client, launched: Engine, log: Path) -> None:
    path = f"{ENGINES}{launched.pk}/log/"
    assert "Nothing yet on this machine." in page(client, path)
    log.write_text("one\n")
    mark = client.get(path).context["mark"]
    assert f"?mark={mark}" in page(client, path)
    assert client.get(path, {"mark": mark}).status_code == 204
    log.write_text("one\ntwo\n")
    assert "two" in client.get(path, {"mark": mark}).content.decode()
    mark = client.get(path).context["mark"]
    Engine.objects.update(starting_since=datetime(2026, 1, 31, 8, tzinfo=UTC))
    assert "it loads its model" in client.get(path, {"mark": mark}).content.decode()


def test_of_a_large_log_the_end_is_read(client: Client, launched: Engine, log: Path) -> None:
    log.write_text("".join(f"line {number:06}\n" for number in range(100_000)))
    found = page(client, f"{ENGINES}{launched.pk}/log/")
    assert "line 099999" in found
    assert found.count("line 0") == 200


def test_an_engine_at_an_address_has_none(client: Client, engine: Engine) -> None:
    assert 'id="log"' not in page(client, f"{ENGINES}{engine.pk}/")


def test_it_is_for_operators_alone(
    launched: Engine, log: Path, alice: Member, sign_in: SignIn
) -> None:
    log.write_text("what it says\n")
    answer = sign_in(alice.user).get(f"{ENGINES}{launched.pk}/log/")
    assert answer.status_code in (403, 404)
    assert b"what it says" not in answer.content


def test_in_chinese(client: Client, launched: Engine) -> None:
    with translation.override("zh-hans"):
        found = client.get(f"{ENGINES}{launched.pk}/", headers={"accept-language": "zh-hans"})
    assert "日志不含提示词和回答" in found.content.decode()
