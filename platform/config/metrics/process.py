"""Which process this is, in its own figures."""

from audit import release
from audit.metrics import ANY_OF_FEW, Gauge, Label

ROLES = ("web", "grpc", "worker", "jobs")
_BUILD = Gauge(
    "forebay_build_info",
    "1, with the version of Forebay and the role of the process",
    Label("version", ANY_OF_FEW),
    Label.of("role", *ROLES),
)


def is_a(role: str) -> None:
    _BUILD.set_all({(release.VERSION, role): 1})
