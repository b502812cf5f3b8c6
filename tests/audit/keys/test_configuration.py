"""Secrets in the configuration: encrypted for one name, opened where an engine is asked."""

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from audit.keys import configuration
from audit.keys.cipher import Unreadable
from inference.engines import forget, served

pytestmark = pytest.mark.unit
SECRET = "sk-hosted-1234567890"


@pytest.fixture(autouse=True)
def fresh() -> Any:
    forget()
    yield
    forget()


def printed(monkeypatch: pytest.MonkeyPatch, typed: str, name: str) -> str:
    out = io.StringIO()
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    call_command("seal_secret", name, stdout=out)
    return out.getvalue().strip()


def test_what_the_command_prints_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    ciphertext = printed(monkeypatch, f"{SECRET}\n", "theirs")
    assert ciphertext.startswith("sealed:")
    assert SECRET not in ciphertext
    assert configuration.opened(ciphertext, "theirs") == SECRET
    assert ciphertext != printed(monkeypatch, SECRET, "theirs")
    with pytest.raises(CommandError):
        printed(monkeypatch, "\n", "theirs")


def test_it_opens_for_its_own_name_only_and_unchanged(settings: Any) -> None:
    ciphertext = configuration.seal(SECRET, "theirs")
    for changed, name in [
        (ciphertext, "ours"),
        (ciphertext[:-4] + "AAAA", "theirs"),
        ("sealed:", "theirs"),
        ("sealed:?", "theirs"),
    ]:
        with pytest.raises(Unreadable):
            configuration.opened(changed, name)
    settings.CONFIGURATION_KEY = bytes(32)
    with pytest.raises(Unreadable):
        configuration.opened(ciphertext, "theirs")


def test_an_engines_credential(settings: Any) -> None:
    plain = {"kind": "openai", "url": "http://127.0.0.1:9/v1"}
    ciphertext = configuration.seal(SECRET, "theirs")
    settings.ENGINES = {
        "theirs": {**plain, "api_key": ciphertext},
        "open": {**plain, "api_key": "as it is"},
        "ours": plain,
    }
    engines = served()
    assert engines["theirs"].headers()["Authorization"] == f"Bearer {SECRET}"
    assert engines["open"].headers()["Authorization"] == "Bearer as it is"
    assert "Authorization" not in engines["ours"].headers()
    assert SECRET not in json.dumps(settings.ENGINES), "the settings stay encrypted"
    assert SECRET not in repr(engines["theirs"].config)


def test_one_that_was_not_sealed_here_is_a_clear_error(settings: Any) -> None:
    entry = {"kind": "openai", "url": "http://127.0.0.1:9/v1"}
    settings.ENGINES = {"ours": {**entry, "api_key": configuration.seal(SECRET, "theirs")}}
    with pytest.raises(ValueError, match="'ours': its api_key was not encrypted here for 'ours'"):
        served()
