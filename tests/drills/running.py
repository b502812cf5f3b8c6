"""The drills themselves, once Django is set up for the platform under test."""

import argparse
from typing import Any

from config.drills import session
from config.drills.clients import Addresses, clients
from console.compliance.drills import evidence
from console.compliance.drills.kinds import KINDS
from console.compliance.signed_report import Report
from tenants.scope import system_scope
from tests.drills.cluster import Cluster
from tests.drills.installation import ClusterAlone, UnderAPlatform
from tests.drills.platform import Platforms

WITHOUT_A_PLATFORM = [kind for name, kind in KINDS.items() if name != "lose_valkey"]


def drills(
    cluster: Cluster, platforms: Platforms | None, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Returns the drills as a report has them."""
    names = [name for name in options.only.split(",") if name]
    every = list(KINDS.values()) if platforms else WITHOUT_A_PLATFORM
    kinds = [KINDS[name] for name in names] or every
    order = session.ordered(kinds, options.rounds, options.seed)
    if platforms is None:
        return _drilled(ClusterAlone(cluster, options.clients), order)
    addresses = Addresses(platforms.http, platforms.grpc, chat=True, model="mock")
    with clients(addresses) as asking:
        return _drilled(UnderAPlatform(cluster, options.clients, platforms, asking), order)


def _drilled(installation: ClusterAlone, order: list[Any]) -> list[dict[str, Any]]:
    try:
        results = session.drill(order, installation, lambda line: print(line, flush=True))
    finally:
        installation.stop()
    return [session.as_drill(result) for result in results]


def record(made: Report) -> None:
    with system_scope():
        evidence.record(made, by="command:make drill")
