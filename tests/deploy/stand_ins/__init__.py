"""Images of Debian's servers in place of those that compose.yaml names: no registry is needed.

They have names of their own, so that nobody takes one for what it stands for. `vllm` is the mock
engine in the image of Forebay; Grafana has no place here.
"""

from pathlib import Path

from tests.deploy import containers

HERE = Path(__file__).parent
OURS = "localhost/forebay-test"
SERVERS = f"{OURS}/servers"
PACKAGES = ("postgresql", "valkey-server", "valkey-tools", "prometheus", "haproxy", "busybox")
IMAGES = {
    service: f"{OURS}/{service}"
    for service in ("postgres", "valkey", "prometheus", "proxy", "vllm")
}


def build(forebay: str, folder: Path) -> None:
    """`forebay`: the image under test."""
    if not containers.is_there(SERVERS):
        containers.make_base(SERVERS, "trixie", folder, *PACKAGES)
    for service, tag in IMAGES.items():
        if not containers.is_there(tag) or service == "vllm":
            given = (f"--build-arg=FOREBAY={forebay}", f"--build-arg=SERVERS={SERVERS}")
            containers.build(tag, HERE, *given, "--pull=never", "--target", service)
