"""No test grows slow unnoticed: one that takes longer than its mark allows fails, if asked to.

A pytest plugin. `--pace 3` allows three times what marks say; CI asks for that. What they say is
meant for two idle cores with both of them used.
"""

from collections.abc import Generator

import pytest

ALLOWED_S = 10.0


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "fail a test that takes longer than FACTOR times its slow(seconds=…), or ten seconds"
    parser.addoption("--pace", type=float, metavar="FACTOR", help=text)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: "pytest.CallInfo[None]"
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    factor = item.config.getoption("--pace")
    if factor and report.when == "call" and report.passed:
        allowed = factor * _allowed(item)
        if call.duration > allowed:
            report.outcome = "failed"
            report.longrepr = (
                f"took {call.duration:.1f} s, {allowed:.1f} s are allowed: make it faster, shorten "
                "it here and leave its full length to `make soak`, or say why with "
                "@pytest.mark.slow(seconds=…)"
            )
    return report


def _allowed(item: pytest.Item) -> float:
    mark = item.get_closest_marker("slow")
    return float(mark.kwargs["seconds"]) if mark else ALLOWED_S
