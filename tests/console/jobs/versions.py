"""Versions of models and data sets that jobs stand on, without files."""

from uuid import uuid4

from inference.models import DataSet, DataSetVersion, ModelVersion, VersionKind
from tenants.models import Tenant


def a_base(tenant: Tenant, name: str = "tiny") -> ModelVersion:
    """A base of 135 million parameters that does not say its shape."""
    return ModelVersion.objects.create(
        tenant=tenant,
        name=name,
        number=1,
        kind=VersionKind.BASE,
        format="safetensors",
        state="ready",
        parameters=135_000_000,
        size=270_000_000,
        created_by="test",
    )


def a_data_set(tenant: Tenant, name: str, form: str, rows: int = 100) -> DataSetVersion:
    data_set = DataSet.create(tenant, name, uuid4(), by="test")
    report = {"characters": {"sum": 35_000, "median": 350, "p90": 350, "max": 350}}
    return data_set.add_version(
        by="test", source="upload", form=form, state="ready", rows=rows, report=report
    )
