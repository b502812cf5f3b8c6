"""The checks by name. Their texts are in content/checks.toml."""

from console.compliance.check import Check, CheckProblem, Reach, Run
from console.compliance.checks import (
    access,
    accounts,
    availability,
    backups,
    database,
    erasure,
    keys,
    requests,
    retention,
    trail,
    transport,
)
from console.compliance.texts import content

_GENERAL: dict[str, Run] = {
    "row_security": database.row_security,
    "append_only": database.append_only,
    "protections": database.protections,
    "data_map": database.data_map,
    "unsealed": trail.unsealed,
    "witnesses": trail.witnesses,
    "verified": trail.verified_at_night,
    "backups": backups.verified,
    "sessions": accounts.sessions,
    "role_matrix": access.role_matrix,
    "input": requests.bad_input,
    "recipients": requests.recipients,
    "browsers": transport.browsers,
    "ports": transport.ports,
    "hops": transport.hops,
    "drills": availability.drills,
}
_EACH: dict[str, Run] = {
    "trail": trail.newest_part,
    "retention_floor": retention.floor,
    "oldest_row": retention.oldest_row,
    "keys": keys.inventory,
    "aead": keys.aead,
    "second_factors": accounts.second_factors,
    "default_accounts": accounts.default_accounts,
    "dormant_accounts": accounts.dormant_accounts,
    "profile": accounts.profile,
    "passwords": accounts.passwords,
    "lockouts": accounts.lockouts,
    "duties": access.duties,
    "operator_access": access.operator_access,
    "text_access": access.text_access,
    "administration": access.administration,
    "recorded": requests.recorded,
    "refusals": requests.refusals,
    "residency": requests.residency,
    "deletion_clock": erasure.deletion_clock,
    "erased": erasure.erased,
    "holds": erasure.holds,
    "exports": erasure.exports,
}
_OVER = {
    "trail": "seals",
    "verified": "sealed_events",
    "backups": "verified_events",
    "recorded": "requests",
    "deletion_clock": "done",
    "erased": "erased",
    "drills": "drills",
}
_TEXTS = content("checks")


def _check(name: str, run: Run, reach: Reach) -> Check:
    texts = _TEXTS[name]
    problems = {key: CheckProblem(**text) for key, text in texts.get("problems", {}).items()}
    over = _OVER.get(name, "")
    return Check(name, texts["label"], texts["how"], run, problems, reach, over)


CHECKS = {name: _check(name, run, Reach.GENERAL) for name, run in _GENERAL.items()}
CHECKS |= {name: _check(name, run, Reach.EACH) for name, run in _EACH.items()}
