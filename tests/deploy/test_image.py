"""The Dockerfile, without building it: tests/deploy/test_image_runs.py does."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from config.command.command_line import SUBCOMMANDS
from config.configuration.variables import KNOWN
from config.environment import PROJECT
from infrastructure.release import VERSION

pytestmark = pytest.mark.unit
DOCKERFILE = PROJECT / "Dockerfile"
LOCK = PROJECT / "requirements" / "base.txt"


def lock(*arguments: str) -> list[str]:
    command = [sys.executable, str(PROJECT / "deploy" / "image" / "lock.py"), *arguments]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return list(re.findall(r"^([a-z0-9-]+)==", told, re.M))


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    told = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True)
    assert (told.returncode, told.stdout) == (0, "")


def test_it_runs_as_nobody_special_and_starts_what_there_is() -> None:
    last = DOCKERFILE.read_text().rpartition("\nFROM ")[2]
    (user,) = re.findall(r"^USER (\d+):0$", last, re.M)
    assert int(user) > 1000
    assert re.findall(r'^ENTRYPOINT \["(\w+)"\]', last, re.M) == ["forebay"]
    (starts,) = re.findall(r'^CMD \["(\w+)"\]', last, re.M)
    (looks,) = re.findall(r'^HEALTHCHECK .*CMD \["forebay", "(\w+)"\]', last, re.M)
    assert {starts, looks} <= SUBCOMMANDS.keys()
    assert set(re.findall(r"FOREBAY_[A-Z_]+", DOCKERFILE.read_text())) <= KNOWN


def test_what_it_copies_is_let_through() -> None:
    """And nothing else: no secret of a checkout's var, no .git."""
    first = DOCKERFILE.read_text().partition("\nFROM ${BASE}\n")[0]
    copied = {word for line in re.findall(r"^COPY (.+) \S+$", first, re.M) for word in line.split()}
    ignored = (PROJECT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == copied
    assert [name for name in copied if not (PROJECT / name).exists()] == []


def test_a_part_of_the_lock_is_whole() -> None:
    everything, some = lock(str(LOCK), "without"), lock(str(LOCK), "without", "xllamacpp")
    assert set(everything) - set(some) == {"xllamacpp"}
    assert {"cyclonedx-bom", "cyclonedx-python-lib", "lxml", "packageurl-python"} <= set(
        lock(str(LOCK.with_name("dev.txt")), "for", "cyclonedx-bom")
    )
    ended = subprocess.run(
        [sys.executable, PROJECT / "deploy" / "image" / "lock.py", LOCK, "without", "nothing"],
        capture_output=True,
        text=True,
    )
    assert "the lock has no nothing" in ended.stderr


def test_make_image_names_the_version_that_runs() -> None:
    told = subprocess.run(
        ["make", "-n", "image", "CONTAINERS=podman"], cwd=PROJECT, capture_output=True, text=True
    )
    assert f"-t forebay:{VERSION} " in told.stdout
    assert f"--build-arg VERSION={VERSION} " in told.stdout
    example = (PROJECT / "deploy" / "compose" / ".env.example").read_text()
    assert f"FOREBAY_IMAGE=forebay:{VERSION}\n" in example
