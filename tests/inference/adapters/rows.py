"""Rows of adapters and their versions, without files and engines."""

import psycopg

from inference.models import Adapter, AdapterPromotion, ModelVersion
from inference.registry import following
from tenants.models import Tenant

BY = "test"


def a_version(tenant: Tenant, number: int = 1, **fields: object) -> ModelVersion:
    """A version `tuned@NUMBER` of an adapter, ready."""
    plain = {"kind": "adapter", "format": "gguf", "state": "ready", "created_by": BY, "size": 1}
    return ModelVersion.objects.create(
        **{"tenant": tenant, "name": "tuned", "number": number, **plain, **fields}
    )


def an_adapter(tenant: Tenant, base: str, name: str = "support") -> Adapter:
    return Adapter.create(tenant, base, name, by=BY)


def serve(adapter: Adapter, version: ModelVersion) -> AdapterPromotion:
    """Promote a version as if all engines had loaded it."""
    promotion = adapter.promote(version, by=BY)
    promotion.formats = "gguf peft"
    promotion.serve(by=BY)
    return promotion


def put_in_force(dsn: str) -> None:
    """What a change of rows does in each process."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        following.load_adapters(connection)
