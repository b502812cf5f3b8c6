"""The security profile of a person: the strictest of their tenants', and an operator's own."""

from django.conf import settings

from tenants.models import Member, User
from tenants.roles import Profile
from tenants.scope import person_scope

STRICTEST_FIRST = (Profile.MLPS, Profile.ASVS)


def profile_of(user: User, *also: str) -> Profile:
    """Returns the profile. `also`: profiles of tenants that the person is about to join."""
    binding = set(also)
    if user.pk:
        with person_scope(user.pk):
            binding |= {member.tenant.profile for member in Member.objects.of(user)}
    if user.is_operator:
        binding.add(settings.PROFILE)
    return next((profile for profile in STRICTEST_FIRST if profile in binding), Profile.ASVS)
