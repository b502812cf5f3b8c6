"""People who join a tenant."""

from tenants.models import Member, Tenant, User
from tenants.roles import Role


def join(
    tenant: Tenant,
    email: str,
    role: Role = Role.MEMBER,
    password: str | None = None,
    *,
    by: str = "test",
    name: str = "",
) -> Member:
    """A new person, or one of another tenant."""
    user = User.objects.filter(email=email).first()
    user = user or User.objects.create_user(email, password, name=name)
    member: Member = tenant.add_member(user, role, by=by)
    return member
