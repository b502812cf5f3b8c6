"""Models that only some teams and keys of a tenant may use."""

from django.contrib.auth.models import Group
from django.db import models
from django.utils.translation import gettext_lazy as _
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase
from guardian.shortcuts import assign_perm, get_objects_for_group

from tenants.models.tenant import Tenant

USE = "use_restrictedmodel"


class RestrictedModel(models.Model):
    """A served model that only teams and keys with a grant may use in this tenant.

    A model without such a row is open to everybody in the tenant. Grants are django-guardian's, of
    the permission `use_restrictedmodel`, to the groups of teams and keys (tenants/model_access.py).
    """

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="restricted_models")
    name = models.CharField(_("model"), max_length=120)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint("tenant", "name", name="tenants_restricted_once")]
        permissions = [(USE, "Can use the model")]
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class RestrictedModelUserObjectPermission(UserObjectPermissionBase):
    """Required by guardian; no person is ever granted a model directly."""

    content_object = models.ForeignKey(RestrictedModel, models.CASCADE)


class RestrictedModelGroupObjectPermission(GroupObjectPermissionBase):
    content_object = models.ForeignKey(RestrictedModel, models.CASCADE)


def copy_grants(source: Group, target: Group) -> None:
    """Grants the target every model that the source may use."""
    for restricted in get_objects_for_group(source, USE, RestrictedModel):
        assign_perm(USE, target, restricted)
