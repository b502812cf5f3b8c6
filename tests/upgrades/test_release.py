"""What a release consists of, and what is known about what it installs."""

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml

from config.environment import PROJECT
from deploy import known_holes, packed
from deploy import release as script
from infrastructure import release

# Stands in for podman: an image of a commit, whose archive is these words.
_PODMAN = """\
#!/bin/sh
case "$1" in
    image) echo {revision} ;;
    save) echo "$2 as it is" ;;
esac
"""


def podman(folder: Path, revision: str) -> str:
    place = folder / f"podman-{revision}"
    place.write_text(_PODMAN.format(revision=revision))
    place.chmod(0o755)
    return str(place)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    command = [sys.executable, "-m", "deploy.release", "--folder", str(folder / "dist")]
    tool = podman(folder, script.git("rev-parse", "HEAD").strip())
    told = {**os.environ, "CONTAINERS": tool}
    subprocess.run([*command, "--unsigned"], cwd=PROJECT, env=told, check=True, capture_output=True)
    return folder / "dist"


def test_a_release_has_a_wheel_of_this_version_a_bill_and_checksums(made: Path) -> None:
    wheel = made / f"forebay-{release.VERSION}-py3-none-any.whl"
    with ZipFile(wheel) as archive:
        assert f"forebay-{release.VERSION}.dist-info/METADATA" in archive.namelist()
    bill = json.loads((made / "sbom.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert {"django", "celery", "grpcio"} <= {part["name"].lower() for part in bill["components"]}
    sums = dict(line.split()[::-1] for line in (made / "SHA256SUMS").read_text().splitlines())
    assert set(sums) == {path.name for path in made.iterdir()} - {"SHA256SUMS"}
    assert sums[wheel.name] == hashlib.sha256(wheel.read_bytes()).hexdigest()


def test_the_chart_is_in_it_as_helm_packs_it(made: Path) -> None:
    with tarfile.open(made / f"forebay-{release.VERSION}.tgz") as archive:
        names = archive.getnames()
        said = archive.extractfile("forebay/Chart.yaml")
        assert said
        about = yaml.safe_load(said)
    assert {"forebay/values.yaml", "forebay/values.schema.json"} <= set(names)
    assert all(name.startswith("forebay/") for name in names)
    assert (about["version"], about["appVersion"]) == (release.VERSION, release.VERSION)


def test_what_git_ignores_is_not_in_the_chart(tmp_path: Path) -> None:
    chart = tmp_path / "forebay"
    (chart / "templates").mkdir(parents=True)
    for name in ("Chart.yaml", "templates/web.yaml", "templates/.web.yaml.swp", "values-ours.yaml"):
        (chart / name).write_text(name)
    (chart / ".gitignore").write_text("*.swp\n")
    for words in "init -q", "add .gitignore Chart.yaml templates":
        subprocess.run(["git", *words.split()], cwd=chart, check=True)
    packed.chart(chart, "1.0.0", tmp_path)
    with tarfile.open(tmp_path / "forebay-1.0.0.tgz") as archive:
        names = archive.getnames()
    assert names == ["forebay/.gitignore", "forebay/Chart.yaml", "forebay/templates/web.yaml"]


def test_the_image_is_in_it_as_podman_loads_it(made: Path) -> None:
    packed_image = made / f"forebay-{release.VERSION}-image.tar.gz"
    said = gzip.decompress(packed_image.read_bytes())
    assert said == f"forebay:{release.VERSION} as it is\n".encode()


def test_an_image_of_another_commit_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTAINERS", podman(tmp_path, "abc"))
    assert packed.image("1.0.0", "abd", tmp_path) == (
        "the image forebay:1.0.0 is of commit abc: make image"
    )
    monkeypatch.setenv("CONTAINERS", "false")
    assert packed.image("1.0.0", "abd", tmp_path) == "there is no image forebay:1.0.0: make image"
    assert not list(tmp_path.glob("*.gz"))


@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="there is no ssh-keygen")
def test_a_signature_shows_that_the_sums_are_ours(made: Path, tmp_path: Path) -> None:
    key, sums = tmp_path / "key", tmp_path / "SHA256SUMS"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    sums.write_bytes((made / "SHA256SUMS").read_bytes())
    script.sign(sums, key)
    allowed = tmp_path / "allowed"
    allowed.write_text(f"release@forebay {(tmp_path / 'key.pub').read_text()}")
    assert verified(sums, allowed)
    sums.write_bytes(sums.read_bytes() + b"0  another.whl\n")
    assert not verified(sums, allowed)


def verified(sums: Path, allowed: Path) -> bool:
    words = f"-Y verify -f {allowed} -I release@forebay -n forebay-release -s {sums}.sig"
    with sums.open("rb") as text:
        return not subprocess.run(["ssh-keygen", *words.split()], stdin=text).returncode


def test_a_release_needs_its_tag(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deploy.release", "--folder", str(tmp_path / "dist")]
    found = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert found.returncode == 1
    assert "release: " in found.stderr
    assert not (tmp_path / "dist").exists()


def test_a_folder_with_anything_else_stays_as_it_is(tmp_path: Path) -> None:
    """`--folder .` would have been the end of the repository."""
    for name in ("forebay-0.1.0.tar.gz", "notes.txt"):
        (tmp_path / name).touch()
    with pytest.raises(SystemExit, match="notes.txt"):
        script.empty(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    (tmp_path / "notes.txt").unlink()
    script.empty(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("package", "code", "said"),
    [
        ({"name": "a", "version": "1", "vulns": []}, 0, "none in 1 packages"),
        ({"name": "a", "skip_reason": "not on PyPI"}, 0, "not looked at: 1 packages, a"),
        (
            {"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]},
            1,
            "a 1: CVE-1, mended in 2",
        ),
    ],
)
def test_known_holes(package: dict[str, object], code: int, said: str) -> None:
    given = json.dumps({"dependencies": [package]})
    found, lines = known_holes.judged(given)
    assert found == code
    assert said in "\n".join(lines)


def test_no_network_is_no_hole_and_is_said() -> None:
    assert known_holes.judged("", "no route to host") == (
        0,
        ["known holes: not looked at: no route to host"],
    )


def run(*command: str) -> None:
    subprocess.run(command, cwd=PROJECT, check=True, capture_output=True)
