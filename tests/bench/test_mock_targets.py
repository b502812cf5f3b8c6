"""What stands in front of the mock engine, and what happens where it cannot be installed."""

import subprocess

import pytest

from bench.compare.mock_targets import mock_targets
from bench.compare.proxies import Proxy

pytestmark = pytest.mark.unit


def test_without_vllm_router_the_comparison_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def install(self: Proxy) -> None:
        raise subprocess.CalledProcessError(1, ["pip", "install", self.name])

    monkeypatch.setattr(Proxy, "install", install)
    with mock_targets(litellm=False, forebay=False) as running:
        assert [target.name for target in running.targets] == ["direct"]
        assert running.versions == {}
    assert "pip could not install vllm-router" in capsys.readouterr().err
