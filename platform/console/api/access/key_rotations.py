"""Rotation of a tenant's encryption key, on request, while its requests go on."""

from typing import Any
from uuid import UUID

from rest_framework import serializers as s
from rest_framework.response import Response

from audit.keys import rotation
from audit.models import KeyRotation
from console.api.resource import Resource
from console.api.strict_input import Shape
from tenants.roles import Permission as P


class KeyRotationShape(Shape):
    id = s.UUIDField()
    new_key_id = s.UUIDField()
    total = s.IntegerField(help_text="Keys of people and programs to be wrapped anew.")
    done = s.IntegerField()
    started_at = s.DateTimeField()
    finished_at = s.DateTimeField(allow_null=True)
    EXAMPLE = {
        "id": "0192e6a0-9d2e-7c1a-8e5b-3a4b5c6d7e8f",
        "new_key_id": "0192e6a0-9d2e-7c1a-8e5b-4a4b5c6d7e8f",
        "total": 120,
        "done": 50,
        "started_at": "2026-01-31T08:00:00Z",
        "finished_at": None,
    }


class Nothing(Shape):
    EXAMPLE = {}


class KeyRotations(Resource):
    needs = {
        "list": P.MANAGE_SECURITY,
        "create": P.MANAGE_SECURITY,
        "retrieve": P.MANAGE_SECURITY,
    }
    shape = KeyRotationShape
    takes = {"create": Nothing}
    orderings = ("-started_at", "started_at")
    volatile = ("done", "finished_at")

    def list(self, request: Any, tenant: str) -> Response:
        """List the rotations of a tenant's encryption key."""
        return self.respond_page(KeyRotation.objects.filter(tenant_id=self.url_tenant.id))

    def create(self, request: Any, tenant: str) -> Response:
        """Rotate a tenant's encryption key.

        New texts are under the new key at once; the other keys follow within seconds. While a
        rotation is under way, the answer is that one. Texts stay as they are, and readable.
        """
        self.body()
        return self.respond(rotation.start_tenant(self.url_tenant.id, by=self.actor), 201)

    def retrieve(self, request: Any, tenant: str, rotation: UUID) -> Response:
        """Show the progress of a rotation."""
        rows = KeyRotation.objects.filter(tenant_id=self.url_tenant.id)
        return self.respond(self.get_or_404(rows, pk=rotation))
