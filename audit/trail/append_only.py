"""The tables whose rows are added, never changed; sql/2_append_only.sql enforces it.

Other apps register theirs, and put `select audit_guard('their_table')` into their SQL.
"""

PARTITIONED = ("audit_event", "audit_payload")
OWN = (*PARTITIONED, "audit_seal", "audit_checkpoint", "audit_tombstone", "audit_prunedmonth")

_others: set[str] = set()


def register(table: str) -> None:
    _others.add(table)


def tables() -> list[str]:
    return [*OWN, *sorted(_others)]
