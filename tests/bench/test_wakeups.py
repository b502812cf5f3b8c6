"""Wake-ups of a request: how counters are read, and what an idle platform's part is."""

from collections import Counter

import pytest

from bench.parts.wakeups import WakeupsReport, _Window, aims, calls_in, of_one, section, switches_in

pytestmark = pytest.mark.unit
STATUS = """\
Name:\tpython
Threads:\t3
voluntary_ctxt_switches:\t120
nonvoluntary_ctxt_switches:\t7
"""


def window(seconds: float, requests: int, waits: int, commands: int) -> _Window:
    counts = {
        "CPU ms": Counter(web=waits),
        "waits": Counter(web=waits),
        "preempted": Counter(web=0),
        "system calls": Counter(web=10 * waits),
        "commands": Counter(evalsha=commands),
        "messages": Counter({"to Valkey": commands, "from Valkey": commands}),
        "transactions": Counter(postgres=commands),
    }
    return _Window(counts, seconds, requests)


def test_switches_of_a_thread() -> None:
    assert switches_in(STATUS) == {"voluntary_ctxt_switches": 120, "nonvoluntary_ctxt_switches": 7}


@pytest.mark.parametrize(
    ("output", "calls"),
    [("1412,,raw_syscalls:sys_enter,1645546,100.00,,\n", 1412), ("<not supported>,,\n", None)],
)
def test_system_calls_of_a_role(output: str, calls: int | None) -> None:
    assert calls_in(output) == calls


def test_what_an_idle_platform_does_in_that_time_is_no_requests() -> None:
    load = of_one("alone", window(20, 100, 1_000, 300), window(10, 0, 50, 100))
    assert load.counts["waits"] == {"web": 9.0}
    assert load.counts["commands"] == {"evalsha": 1.0}


def test_noise_counts_as_nothing() -> None:
    load = of_one("alone", window(10, 100, 40, 0), window(10, 0, 50, 0))
    assert load.counts["waits"] == {"web": 0.0}


def test_the_section_and_the_aim() -> None:
    load = of_one("alone", window(20, 100, 1_000, 300), window(10, 0, 50, 100))
    report = WakeupsReport([load])
    assert "| web | 9.00 | 9.00 | 0.00 | 90.0 |" in section(report)
    assert "1.00 transactions of PostgreSQL; 1.00 messages from Valkey" in section(report)
    assert "evalsha 1.00." in section(report)
    assert [aim.met for aim in aims(report)] == [False]
