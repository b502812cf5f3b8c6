"""The process's role and readiness, and the free space of its host, as metrics."""

import os

from django.conf import settings

from infrastructure import release
from infrastructure.metrics import ANY_OF_FEW, Gauge, Label

ROLES = ("web", "grpc", "worker", "jobs")
_BUILD = Gauge(
    "forebay_build_info",
    "1, with the version of Forebay and the role of the process",
    Label("version", ANY_OF_FEW),
    Label.of("role", *ROLES),
)


def _disk(blocks: str) -> dict[tuple[str, ...], float]:
    """Returns the bytes in such blocks: `f_bavail` are free for other users than root."""
    try:
        disk = os.statvfs(settings.FOREBAY_HOME)
    except OSError:  # the other figures are exported all the same
        return {}
    return {(): getattr(disk, blocks) * disk.f_frsize}


_FREE = Gauge(
    "forebay_home_free_bytes",
    "Free on the file system of FOREBAY_HOME on this host",
    read=lambda: _disk("f_bavail"),
)
_SIZE = Gauge("forebay_home_size_bytes", "Size of that file system", read=lambda: _disk("f_blocks"))


_ready = False


def set_ready(*, it_is: bool) -> None:
    """Set whether it takes work: not while it starts, nor once it has been told to end."""
    global _ready
    _ready = it_is


def is_ready() -> bool:
    return _ready


def set_role(role: str) -> None:
    _BUILD.set_all({(release.VERSION, role): 1})
