"""The files of a release for the chart and the image."""

import gzip
import os
import shlex
import shutil
import subprocess
import tarfile
from pathlib import Path

REVISION = "org.opencontainers.image.revision"


def chart(source: Path, version: str, folder: Path) -> None:
    """Pack the chart as `helm package` does, from what git tracks.

    The same files make the same bytes.
    """
    archive_path = folder / f"{source.name}-{version}.tgz"
    with (
        archive_path.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as smaller,
        tarfile.open(fileobj=smaller, mode="w") as archive,
    ):
        for path in sorted(_tracked(source)):
            archive.add(source / path, f"{source.name}/{path.as_posix()}", filter=_nobodys)


def _tracked(folder: Path) -> list[Path]:
    """Returns the tracked files, relative to the folder.

    A work tree may have files that git ignores.
    """
    command = ["git", "ls-files", "-z"]
    listing = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return [Path(name) for name in listing.stdout.split("\0") if name]


def _nobodys(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.mtime, entry.mode = 0, 0o644
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def image(version: str, revision: str, folder: Path) -> str:
    """Write the image as `podman load` and `docker load` read it.

    Returns why there is none; "" if it was written.
    """
    name, tool = f"forebay:{version}", _tool()
    if not tool:
        return "neither podman nor docker is here, name one in CONTAINERS"
    command = [*tool, "image", "inspect", "-f", f'{{{{index .Config.Labels "{REVISION}"}}}}', name]
    inspection = subprocess.run(command, capture_output=True, text=True)
    if inspection.returncode:
        return f"there is no image {name}: make image"
    if inspection.stdout.strip() != revision:
        return f"the image {name} is of commit {inspection.stdout.strip()}: make image"
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
    """Returns the container tool, chosen as the Makefile does; empty if there is none."""
    if command := os.environ.get("CONTAINERS"):
        return shlex.split(command)
    program = shutil.which("podman") or shutil.which("docker")
    return [program] if program else []
