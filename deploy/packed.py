"""The chart and the image, each as one file of a release."""

import gzip
import os
import shlex
import shutil
import subprocess
import tarfile
from pathlib import Path

REVISION = "org.opencontainers.image.revision"


def chart(source: Path, version: str, folder: Path) -> None:
    """As `helm package` makes it, of what git tracks; the same files make the same bytes."""
    place = folder / f"{source.name}-{version}.tgz"
    with (
        place.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as smaller,
        tarfile.open(fileobj=smaller, mode="w") as archive,
    ):
        for path in sorted(_tracked(source)):
            archive.add(source / path, f"{source.name}/{path.as_posix()}", filter=_nobodys)


def _tracked(folder: Path) -> list[Path]:
    """Relative to it. A clean work tree may still have files that git ignores."""
    asked = ["git", "ls-files", "-z"]
    found = subprocess.run(asked, cwd=folder, check=True, capture_output=True, text=True)
    return [Path(name) for name in found.stdout.split("\0") if name]


def _nobodys(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.mtime, entry.mode = 0, 0o644
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def image(version: str, revision: str, folder: Path) -> str:
    """What `podman load` and `docker load` read. Returns why there is none; empty where it is."""
    name, tool = f"forebay:{version}", _tool()
    if not tool:
        return "neither podman nor docker is here, name one in CONTAINERS"
    asked = [*tool, "image", "inspect", "-f", f'{{{{index .Config.Labels "{REVISION}"}}}}', name]
    found = subprocess.run(asked, capture_output=True, text=True)
    if found.returncode:
        return f"there is no image {name}: make image"
    if found.stdout.strip() != revision:
        return f"the image {name} is of commit {found.stdout.strip()}: make image"
    return _saved([*tool, "save", name], folder / f"forebay-{version}-image.tar.gz")


def _saved(command: list[str], place: Path) -> str:
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as saving,
        gzip.GzipFile(place, "wb", compresslevel=6, mtime=0) as smaller,
    ):
        assert saving.stdout
        shutil.copyfileobj(saving.stdout, smaller, 1 << 20)
    if saving.returncode:
        place.unlink()
        return f"`{shlex.join(command)}` failed"
    return ""


def _tool() -> list[str]:
    """As the Makefile chooses it."""
    if told := os.environ.get("CONTAINERS"):
        return shlex.split(told)
    found = shutil.which("podman") or shutil.which("docker")
    return [found] if found else []
