"""Why a request may not leave this installation, in the client's words."""

from tenants.caller import LocalOnlyBy

HEADER = "x-forebay-residency"
LOCAL = "local"
_WHY = {
    LocalOnlyBy.TENANT: "its tenant is local-only",
    LocalOnlyBy.KEY: "its API key is local-only",
    LocalOnlyBy.REQUEST: f"{HEADER} is `{LOCAL}`",
}


def why(by: str) -> str:
    """Orders of earlier versions do not say."""
    return _WHY[LocalOnlyBy(by)] if by else "it, its key or its tenant is local-only"
