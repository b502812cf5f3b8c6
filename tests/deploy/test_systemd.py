"""The units of deploy/systemd: systemd takes them, they are shut tight, and say what we read."""

import json
import re
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest

from config.command.command_line import SUBCOMMANDS
from config.configuration import lines
from config.configuration.variables import KNOWN
from config.environment import PROJECT
from config.supervisor.options import MOST_PROCESSES

pytestmark = pytest.mark.unit
UNITS = PROJECT / "deploy" / "systemd"
SERVICES = sorted(UNITS.glob("*.service"))
MOST_EXPOSED = 1.5  # of 10, by systemd-analyze
needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="needs systemd-analyze (Debian: systemd)"
)


def values(unit: Path, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", unit.read_text(), re.M)


@pytest.fixture
def installed(tmp_path: Path) -> list[Path]:
    """Templates as instances, and a program that is there."""
    for unit in UNITS.glob("*.[st]*"):
        text = unit.read_text().replace("/opt/forebay/bin/forebay", "/bin/true")
        (tmp_path / unit.name.replace("@", "@1")).write_text(text)
    return sorted(tmp_path.iterdir())


@needs_systemd
def test_systemd_takes_them(installed: list[Path]) -> None:
    told = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *installed], capture_output=True, text=True
    )
    ours = [line for line in told.stderr.splitlines() if "forebay" in line]
    assert (told.returncode, ours) == (0, [])


@needs_systemd
def test_they_are_shut_tight(installed: list[Path]) -> None:
    for unit in installed:
        if unit.suffix != ".service":
            continue
        told = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--no-pager", unit],
            capture_output=True,
            text=True,
        )
        found = re.search(r"exposure level for \S+: ([\d.]+)", told.stdout)
        assert found, told.stderr
        assert float(found[1]) <= MOST_EXPOSED, unit.name


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_it_says_what_forebay_reads(unit: Path) -> None:
    (start,) = values(unit, "ExecStart")
    assert start.split()[0] == "/opt/forebay/bin/forebay"
    assert start.split()[1] in SUBCOMMANDS
    told = dict(line.split("=", 1) for line in values(unit, "Environment"))
    assert told.keys() <= KNOWN
    secrets = {name: path for name, path in told.items() if name.endswith("_FILE")}
    loaded = {line.split(":")[0] for line in values(unit, "LoadCredential")}
    assert {path.removeprefix("%d/") for path in secrets.values()} == loaded
    assert not re.search(r"-----BEGIN|[A-Za-z0-9+/]{43}=", unit.read_text())


def test_whatever_stands_still_is_started_anew() -> None:
    """Each says that it lives (tests/config/test_watchdog.py), and systemd listens."""
    for unit in SERVICES:
        if values(unit, "Type") != ["oneshot"]:
            assert values(unit, "Type") == ["notify"], unit.name
            assert values(unit, "WatchdogSec") == ["60"], unit.name
            assert values(unit, "Restart") == ["on-failure"], unit.name


def test_what_asks_nvidias_driver_sees_its_devices_and_its_module() -> None:
    """Older drivers register nvidia-frontend, and the library looks into /proc/modules."""
    asking = [unit for unit in SERVICES if values(unit, "DeviceAllow")]
    names = {unit.name for unit in asking}
    assert names == {f"forebay-{each}.service" for each in ("energy-agent", "worker@", "workers")}
    for unit in asking:
        (device,) = values(unit, "DeviceAllow")
        pattern = device.removesuffix(" rw").removeprefix("char-")
        for group in ("nvidia", "nvidia-frontend", "nvidiactl", "nvidia-uvm", "nvidia-caps"):
            assert fnmatch(group, pattern), f"{unit.name}: {group}"
        assert values(unit, "ProcSubset") == ["all"], unit.name


def test_streams_end_before_systemd_kills() -> None:
    from config.environment import number

    for name in ("forebay-web@", "forebay-grpc", "forebay-worker@", "forebay-workers"):
        (patience,) = values(UNITS / f"{name}.service", "TimeoutStopSec")
        assert int(patience) > number("FOREBAY_REQUEST_DEADLINE_S", 600) + 10


def test_the_example_can_be_used() -> None:
    """systemd's port and Forebay's are the same."""
    told = lines.read(str(UNITS / "forebay.env"))
    assert values(UNITS / "forebay-web.socket", "ListenStream") == [told["FOREBAY_PORT"]]
    assert int(told["FOREBAY_ADMITTING_PROCESSES"]) == int(told["FOREBAY_WEB_PROCESSES"]) + 1
    wanted = " ".join(values(UNITS / "forebay.target", "Wants")).split()
    web = [name for name in wanted if name.startswith("forebay-web@")]
    assert len(web) == int(told["FOREBAY_WEB_PROCESSES"])


def test_prometheus_finds_every_process_and_none_takes_anothers_port() -> None:
    listed = json.loads((UNITS / "targets.json").read_text())
    ports = {each["labels"]["process"]: each["targets"][0].split(":")[1] for each in listed}
    told = {
        name: dict(
            line.split("=", 1) for line in values(UNITS / f"forebay-{name}.service", "Environment")
        )["FOREBAY_METRICS_PORT"]
        for name in ("grpc", "jobs")
    }
    assert told == ports
    assert len(set(ports.values())) == len(ports)
    assert {each["labels"]["role"] for each in listed} == {"grpc", "jobs"}


def test_units_of_which_there_are_several_find_their_ports_themselves() -> None:
    """A unit file cannot count: 910%i is 91010 for the tenth."""
    firsts = []
    for unit in SERVICES:
        (start,) = values(unit, "ExecStart")
        if "@" in unit.name:
            firsts += re.findall(r"--metrics-from (\d+)$", start)
        assert not re.search(r"\d%[iI]", unit.read_text()), unit.name
    assert firsts == ["9131", "9231"]
    assert int(firsts[1]) - int(firsts[0]) > MOST_PROCESSES, "a web process each"
