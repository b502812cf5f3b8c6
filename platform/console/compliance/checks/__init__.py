"""The checks by name. Each file is a family, whose CHECKS are collected here."""

from console.compliance.check import Check
from console.compliance.checks import (
    access,
    accounts,
    append_only,
    data_map,
    duties,
    erasure,
    filters,
    isolation,
    keys,
    passwords,
    recipients,
    retention,
    sign_in,
    trail,
    transport,
    verification,
)

_FAMILIES = (
    isolation,
    append_only,
    trail,
    verification,
    retention,
    keys,
    accounts,
    passwords,
    sign_in,
    duties,
    access,
    filters,
    erasure,
    data_map,
    recipients,
    transport,
)
CHECKS: dict[str, Check] = {check.name: check for family in _FAMILIES for check in family.CHECKS}
