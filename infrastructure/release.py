"""The version of this code, and the oldest version that may run beside it during an upgrade."""

VERSION = "0.2.0"
# The oldest code that runs on this version's tables: the last release before it, so that an upgrade
# needs no pause (docs/operations/upgrade.md).
OLDEST_BESIDE = "0.1.0"


def is_before(version: str, other: str) -> bool:
    """Compares two versions, both `major.minor.patch`."""
    return _numbers(version) < _numbers(other)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("."))
