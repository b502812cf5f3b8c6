"""The tenants in which a person may try a model in the chat."""

from inference.chat.membership import memberships
from inference.intake.access.allowed import models_for
from tenants.models import User


def tenants_by_model(user: User) -> dict[str, list[str]]:
    """Returns the names of the tenants by model."""
    tenants: dict[str, list[str]] = {}
    for member in memberships(user).select_related("tenant"):
        for model in models_for(member):
            tenants.setdefault(model, []).append(member.tenant.name)
    return tenants
