"""Reasons why a request may not leave this installation, in the client's words."""

from tenants.caller import LocalOnlyBy

HEADER = "x-forebay-residency"
LOCAL = "local"
_REASONS = {
    LocalOnlyBy.TENANT: "its tenant is local-only",
    LocalOnlyBy.KEY: "its API key is local-only",
    LocalOnlyBy.REQUEST: f"{HEADER} is `{LOCAL}`",
}


def local_only_reason(by: str) -> str:
    """Returns the reason; orders of earlier versions do not have one."""
    return _REASONS[LocalOnlyBy(by)] if by else "it, its key or its tenant is local-only"
