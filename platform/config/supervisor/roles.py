"""What of the platform runs on this host: FOREBAY_ROLES, all of it where nobody has said.

Whoever names roles has several hosts: PostgreSQL, Redis and secrets are the same for all of them,
so nothing is made up here.
"""

import os
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from config.supervisor.screen import Problem

ALL = ("web", "grpc", "workers", "jobs")
DOORS = {"web", "grpc"}
_OF_DOORS = ("FOREBAY_ADMITTING_PROCESSES",)  # each has its share of the limits while Redis is away
# Of each: the variable, the file in FOREBAY_HOME/secrets, and what stands in for both.
_SECRETS = (
    ("FOREBAY_MASTER_KEY", "master.key", "FOREBAY_KMS_URL"),
    ("FOREBAY_AUDIT_SIGNING_KEY", "audit_signing.key", ""),
)


def given() -> frozenset[str]:
    """Empty where nobody has said. Raises Problem."""
    named = {word.strip() for word in os.environ.get("FOREBAY_ROLES", "").split(",")} - {""}
    if unknown := sorted(named - set(ALL)):
        raise Problem(f"FOREBAY_ROLES: {unknown[0]!r} is none of {', '.join(ALL)}")
    return frozenset(named)


def require_shared(named: frozenset[str], variables: Mapping[str, str], home: Path) -> None:
    """Raises Problem where this host would make up what must be the same on all of them."""
    for name in ("DATABASE_URL", "REDIS_URL", *(_OF_DOORS if named & DOORS else ())):
        if not variables.get(name):
            raise Problem(
                f"FOREBAY_ROLES is set: set {name} as well, the same on every host "
                "(docs/deployment-hosts.md)"
            )
    for name, file, instead in _SECRETS:
        if not (
            variables.get(name) or variables.get(instead) or (home / "secrets" / file).exists()
        ):
            raise Problem(
                f"FOREBAY_ROLES is set, and this host has no {name}: set it as on every other "
                f"host, or copy {home / 'secrets' / file} from there"
            )


def runs_here(engine: str) -> bool:
    """Whether this host has the workers of an engine: FOREBAY_ENGINES_HERE, names and patterns
    such as `gpu-1-*` with commas in between; all where nobody has said.
    """
    named = [word.strip() for word in os.environ.get("FOREBAY_ENGINES_HERE", "").split(",")]
    patterns = [word for word in named if word] or ["*"]
    return any(fnmatchcase(engine, pattern) for pattern in patterns)
