from tenants.models.api_key import ApiKey
from tenants.models.link import Link
from tenants.models.member import Member
from tenants.models.tenant import Tenant
from tenants.models.user import User

__all__ = ["ApiKey", "Link", "Member", "Tenant", "User"]
