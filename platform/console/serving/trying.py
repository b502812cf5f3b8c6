"""Where a person may try a model out: as a chat of theirs, in a tenant of theirs."""

from inference.chat.membership import memberships
from inference.intake.allowed import models_for
from tenants.models import User


def tenants_by_model(user: User) -> dict[str, list[str]]:
    """Their names."""
    found: dict[str, list[str]] = {}
    for member in memberships(user).select_related("tenant"):
        for model in models_for(member):
            found.setdefault(model, []).append(member.tenant.name)
    return found
