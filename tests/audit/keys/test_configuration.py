"""Secrets in the configuration: encrypted for a pool and its hosts, opened to ask an engine."""

import base64
import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from audit.keys import configuration_secrets
from audit.keys.cipher import Unreadable
from inference.engines import forget, served

pytestmark = pytest.mark.unit
SECRET = "sk-hosted-1234567890"
URL = "http://127.0.0.1:9/v1"


@pytest.fixture(autouse=True)
def fresh() -> Any:
    forget()
    yield
    forget()


def printed(monkeypatch: pytest.MonkeyPatch, typed: str, name: str) -> str:
    out = io.StringIO()
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    call_command("seal_secret", name, URL, stdout=out)
    return out.getvalue().strip()


def test_what_the_command_prints_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    ciphertext = printed(monkeypatch, f"{SECRET}\n", "theirs")
    assert ciphertext.startswith("sealed:")
    assert SECRET not in ciphertext
    assert configuration_secrets.decrypt_secret(ciphertext, "theirs", URL) == SECRET
    assert ciphertext != printed(monkeypatch, SECRET, "theirs")
    with pytest.raises(CommandError):
        printed(monkeypatch, "\n", "theirs")


def test_it_opens_for_its_own_name_only_and_unchanged(settings: Any) -> None:
    ciphertext = configuration_secrets.encrypt_secret(SECRET, "theirs", URL)
    for changed, name in [
        (ciphertext, "ours"),
        (ciphertext[:-4] + "AAAA", "theirs"),
        ("sealed:", "theirs"),
        ("sealed:?", "theirs"),
    ]:
        with pytest.raises(Unreadable):
            configuration_secrets.decrypt_secret(changed, name, URL)
    settings.CONFIGURATION_KEY = bytes(32)
    with pytest.raises(Unreadable):
        configuration_secrets.decrypt_secret(ciphertext, "theirs", URL)


def test_it_opens_for_the_hosts_that_it_names_only(monkeypatch: pytest.MonkeyPatch) -> None:
    urls = ("https://gpu-1:8443/v1", "https://gpu-2:8443/v1")
    ciphertext = configuration_secrets.encrypt_secret(SECRET, "theirs", *urls)
    for url in ("https://gpu-1:8443", "https://GPU-2:8443/v1/other"):
        assert configuration_secrets.decrypt_secret(ciphertext, "theirs", url) == SECRET
    for url in ("https://evil:8443/v1", "http://gpu-1:8443/v1", "https://gpu-1/v1", "https://x"):
        with pytest.raises(Unreadable):
            configuration_secrets.decrypt_secret(ciphertext, "theirs", url)
    with pytest.raises(Unreadable):  # another host is written into it
        moved = ciphertext.replace("gpu-1", "evil1")
        configuration_secrets.decrypt_secret(moved, "theirs", "https://evil1:8443/v1")
    with pytest.raises(Unreadable):  # the hosts are taken out of it
        bare = "sealed:" + ciphertext.rpartition(":")[2]
        configuration_secrets.decrypt_secret(bare, "theirs", "https://evil:8443/v1")


def test_one_of_before_there_were_hosts_still_opens() -> None:
    aad = b"configuration|theirs"
    bare = configuration_secrets._cipher().encrypt(SECRET.encode(), aad)
    value = "sealed:" + base64.b64encode(bare).decode()
    assert configuration_secrets.decrypt_secret(value, "theirs", URL) == SECRET


def test_the_command_wants_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("gpu-1:8000", "https://", "https://a,https://b", "https://me@gpu-1"):
        monkeypatch.setattr("sys.stdin", io.StringIO(SECRET))
        with pytest.raises(CommandError):
            call_command("seal_secret", "theirs", url)


def test_an_engines_credential(settings: Any) -> None:
    plain = {"kind": "openai", "url": URL}
    ciphertext = configuration_secrets.encrypt_secret(SECRET, "theirs", URL)
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


def test_a_key_that_was_copied_to_another_host_is_sent_nowhere(settings: Any) -> None:
    ciphertext = configuration_secrets.encrypt_secret(SECRET, "theirs", URL)
    copied = {"kind": "openai", "url": "http://127.0.0.1:10/v1", "api_key": ciphertext}
    settings.ENGINES = {"theirs": copied}
    with pytest.raises(ValueError, match="not encrypted here for 'theirs' and http://127.0.0.1:10"):
        served()


def test_one_that_was_not_sealed_here_is_a_clear_error(settings: Any) -> None:
    entry = {"kind": "openai", "url": URL}
    settings.ENGINES = {
        "ours": {**entry, "api_key": configuration_secrets.encrypt_secret(SECRET, "theirs", URL)}
    }
    with pytest.raises(ValueError, match="'ours': its api_key was not encrypted here for 'ours'"):
        served()
