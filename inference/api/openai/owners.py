"""The owner of what a caller stores."""

from audit.trail.network import network
from inference.batch.file_store import Owner
from tenants.caller import Caller


def owner_of(caller: Caller, client_ip: str) -> Owner:
    """Returns the owner of what the caller stores."""
    return Owner(
        caller.tenant_id,
        caller.subject_id,
        caller.api_key_id,
        caller.actor,
        network(client_ip),
    )
