"""`forebay trainer`: says what it takes, refuses without room, never leaves half of it in use."""

import json
import shutil
import sys
import zipfile
from collections import namedtuple
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from config.command import trainer_environment
from config.command.trainer import trainer
from config.command.trainer_environment import CPU, TrainerEnvironment

pytestmark = [pytest.mark.unit, pytest.mark.slow(seconds=60)]
Usage = namedtuple("Usage", "total used free")


def a_wheel(folder: Path, name: str, version: str = "1.0") -> str:
    """A package without code but its version. Returns its line in a lock."""
    file = folder / f"{name}-{version}-py3-none-any.whl"
    metadata = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(file, "w") as wheel:
        wheel.writestr(f"{name}.py", f"__version__ = {version!r}\n")
        wheel.writestr(
            f"{metadata}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{metadata}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{metadata}/RECORD", "")
    return f"{name}=={version} --hash=sha256:{sha256(file.read_bytes()).hexdigest()}\n"


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lock of two small packages, and their wheels."""
    stock = tmp_path_factory.mktemp("stock")
    folder, locks = stock / "wheels", stock / "locks"
    folder.mkdir()
    locks.mkdir()
    (locks / "train.txt").write_text(a_wheel(folder, "littlepeft"))
    (locks / "torch.in").write_text("littletorch==2.0\n")
    (locks / "torch.txt").write_text("")
    a_wheel(folder, "littletorch", "2.0+cpu")
    return stock


def use(stock: Path, patch: pytest.MonkeyPatch) -> None:
    """Let packages be had from its folder alone."""
    patch.setenv("PIP_NO_INDEX", "1")
    patch.setenv("PIP_FIND_LINKS", str(stock / "wheels"))
    patch.setattr(trainer_environment, "LOCKS", stock / "locks")
    patch.setattr(trainer_environment, "MODULES", ("littlepeft", "littletorch"))


@pytest.fixture
def wheels(stock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The wheels of a stock of the test's own, which it may change."""
    own = shutil.copytree(stock, tmp_path / "stock")
    use(own, monkeypatch)
    return own / "wheels"


@pytest.fixture(scope="module")
def made_once(stock: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the trainer installed: `venv` takes seconds."""
    home = tmp_path_factory.mktemp("made") / "home"
    with pytest.MonkeyPatch.context() as patch:
        use(stock, patch)
        assert typed(home, "install", "--torch", CPU, "--yes") == 0
    return home


@pytest.fixture
def installed(made_once: Path, wheels: Path, tmp_path: Path) -> Path:
    """A home of the test's own with the trainer installed."""
    home = shutil.copytree(made_once, tmp_path / "home", symlinks=True)
    (home / "trainer").unlink()
    (home / "trainer").symlink_to(TrainerEnvironment(home, CPU).folder)
    assert typed(home, "check") == 0
    return home


def typed(home: Path, *arguments: str) -> int:
    return trainer(["--home", str(home), *arguments])


def checked(home: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    typed(home, "check", "--json")
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


def test_it_says_what_it_takes_installs_and_is_ready(
    wheels: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    assert typed(home, "check") == 1
    assert typed(home, "install", "--torch", CPU, "--yes") == 0
    out = capfd.readouterr().out
    for words in ("for the CPU", "about 500 MB", "about 2000 MB", "about 5 minutes"):
        assert words in out
    assert checked(home, capfd)["packages"] == {"littlepeft": "1.0", "littletorch": "2.0+cpu"}
    assert typed(home, "check") == 0
    assert typed(home, "install", "--torch", CPU) == 0  # there is nothing to do or ask


def test_a_broken_install_is_not_in_use_and_goes_on_where_it_was(
    wheels: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    home, aside = tmp_path / "home", tmp_path / "aside"
    shutil.move(wheels / "littletorch-2.0+cpu-py3-none-any.whl", aside)
    assert typed(home, "install", "--torch", CPU, "--yes") == 1
    assert "PIP_EXTRA_INDEX_URL" in capfd.readouterr().err
    assert not (home / "trainer").exists()
    assert not checked(home, capfd)["ready"]
    made = TrainerEnvironment(home, CPU)
    (kept := made.folder / "kept").write_text("")
    shutil.move(aside, wheels / "littletorch-2.0+cpu-py3-none-any.whl")
    assert typed(home, "install", "--torch", CPU, "--yes") == 0
    assert kept.exists()
    assert checked(home, capfd)["ready"]


def test_a_wheel_with_another_hash_is_refused(wheels: Path, tmp_path: Path) -> None:
    wheel = wheels / "littlepeft-1.0-py3-none-any.whl"
    wheel.write_bytes(wheel.read_bytes() + b"more")
    assert typed(tmp_path / "home", "install", "--torch", CPU, "--yes") == 1
    assert not (tmp_path / "home" / "trainer").exists()


@pytest.mark.soak
def test_another_lock_replaces_it_in_one_step(
    installed: Path, wheels: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    home = installed
    before = TrainerEnvironment(home, CPU).folder
    lock = trainer_environment.LOCKS / "train.txt"
    lock.write_text(a_wheel(wheels, "littlepeft", "2.0"))
    assert not TrainerEnvironment(home, CPU).is_ready
    assert typed(home, "install", "--torch", CPU, "--yes") == 0
    assert checked(home, capfd)["packages"]["littlepeft"] == "2.0"
    assert not before.exists()


def test_a_package_that_is_gone_makes_it_unready(
    installed: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    home = installed
    (file,) = (home / "trainer").glob("lib/python3*/site-packages/littlepeft.py")
    file.unlink()
    assert typed(home, "check") == 1
    assert "broken" in capfd.readouterr().out
    assert checked(home, capfd)["packages"]["littlepeft"] == ""


def test_without_room_nothing_begins(
    wheels: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    small = Usage(10**10, 9 * 10**9, 500 * 10**6)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: small)
    assert typed(tmp_path / "home", "install", "--torch", CPU, "--yes") == 1
    assert "1500 MB more of disk are needed" in capsys.readouterr().err
    assert not (tmp_path / "home" / "trainer-environments").exists()


def test_an_environment_of_somebody_elses_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FOREBAY_TRAINER_PYTHON", sys.executable)
    monkeypatch.setattr(trainer_environment, "MODULES", ("django",))
    monkeypatch.setattr(trainer_environment, "LOCKS", tmp_path)
    assert typed(tmp_path, "check") == 0
    assert sys.executable in capsys.readouterr().out
    monkeypatch.setenv("FOREBAY_TRAINER_PYTHON", str(tmp_path / "none"))
    assert typed(tmp_path, "check") == 1


def test_without_a_yes_nothing_begins(wheels: Path, tmp_path: Path) -> None:
    assert typed(tmp_path / "home", "install", "--torch", CPU) == 2
    assert not (tmp_path / "home" / "trainer-environments").exists()


@pytest.mark.parametrize("has_driver", [True, False])
def test_the_build_fits_the_machine(has_driver: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    found = "/usr/bin/nvidia-smi" if has_driver else None
    monkeypatch.setattr(shutil, "which", lambda _name: found)
    assert trainer_environment.fitting_build() == ("cuda" if has_driver else "cpu")
