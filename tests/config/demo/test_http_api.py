"""The address at which `forebay demo` asks the platform."""

from typing import Any

import pytest

from config.demo.http_api import HttpApi

pytestmark = pytest.mark.unit


def test_it_is_that_of_this_installation(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FOREBAY_URL", raising=False)
    settings.PUBLIC_URL = "http://localhost:18280"
    assert HttpApi().url == "http://localhost:18280"


def test_it_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREBAY_URL", "https://forebay.example/")
    assert HttpApi().url == "https://forebay.example"
