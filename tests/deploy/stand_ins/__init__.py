"""Images of Debian's servers, called as compose.yaml calls those of others: no registry is needed.

What is there already, also from a registry, stays. `vllm` is the mock engine in the image of
Forebay; Grafana has no place here.
"""

from pathlib import Path
from typing import Any

from tests.deploy import containers

HERE = Path(__file__).parent
SERVERS = "localhost/forebay-test/servers"
PACKAGES = ("postgresql", "valkey-server", "valkey-tools", "prometheus", "haproxy", "busybox")
TARGETS = ("postgres", "valkey", "prometheus", "proxy", "vllm")


def build(services: dict[str, dict[str, Any]], forebay: str, folder: Path) -> None:
    wanted = {name: services[name]["image"] for name in TARGETS}
    missing = {name: tag for name, tag in wanted.items() if not containers.is_there(tag)}
    if missing and not containers.is_there(SERVERS):
        containers.make_base(SERVERS, "trixie", folder, *PACKAGES)
    for name, tag in missing.items():
        given = (f"--build-arg=FOREBAY={forebay}", f"--build-arg=SERVERS={SERVERS}")
        containers.build(tag, HERE, *given, "--pull=never", "--target", name)
