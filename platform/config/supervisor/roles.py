"""The roles of this host: FOREBAY_ROLES, or all if it is unset.

An installation with roles has several hosts: PostgreSQL, Redis and secrets are the same for all of
them, so no host makes any of its own.
"""

import os
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from config.supervisor.terminal import Problem

ALL = ("web", "grpc", "workers", "jobs")
DOORS = {"web", "grpc"}
_OF_DOORS = ("FOREBAY_ADMITTING_PROCESSES",)  # each has its share of the limits while Redis is away
# The variable, the file in FOREBAY_HOME/secrets, and the variable that replaces both.
SHARED_KEYS = (
    ("FOREBAY_MASTER_KEY", "master.key", "FOREBAY_KMS_URL"),
    ("FOREBAY_AUDIT_SIGNING_KEY", "audit_signing.key", ""),
)


def configured() -> frozenset[str]:
    """Returns the roles in FOREBAY_ROLES, empty if it is unset. Raises Problem."""
    roles = {word.strip() for word in os.environ.get("FOREBAY_ROLES", "").split(",")} - {""}
    if unknown := sorted(roles - set(ALL)):
        raise Problem(f"FOREBAY_ROLES: {unknown[0]!r} is none of {', '.join(ALL)}")
    return frozenset(roles)


def require_shared(roles: frozenset[str], variables: Mapping[str, str], home: Path) -> None:
    """Raises Problem if this host would make a secret or server that all hosts must share."""
    for name in ("DATABASE_URL", "REDIS_URL", *(_OF_DOORS if roles & DOORS else ())):
        if not variables.get(name):
            raise Problem(
                f"FOREBAY_ROLES is set: set {name} as well, the same on every host "
                "(docs/deployment-hosts.md)"
            )
    for name, file, replacement in SHARED_KEYS:
        if not (
            variables.get(name) or variables.get(replacement) or (home / "secrets" / file).exists()
        ):
            raise Problem(
                f"FOREBAY_ROLES is set, and this host has no {name}: set it as on every other "
                f"host, or copy {home / 'secrets' / file} from there"
            )


def runs_here(engine: str) -> bool:
    """Returns whether this host runs the workers of an engine.

    FOREBAY_ENGINES_HERE lists names and patterns such as `gpu-1-*`, with commas in between; unset,
    it means all.
    """
    words = [word.strip() for word in os.environ.get("FOREBAY_ENGINES_HERE", "").split(",")]
    patterns = [word for word in words if word] or ["*"]
    return any(fnmatchcase(engine, pattern) for pattern in patterns)
