"""A model for one tenant alone lends neither its pools nor its version to jobs of others."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from inference import engines
from inference.engine_entries import EngineEntry
from inference.jobs import creating
from inference.jobs.creating import JobOwner, Wanted
from inference.jobs.refusals import JobRefused, NoPool
from inference.models import Engine, Job, Model, ModelVersion, Pool
from tenants.models import Tenant
from tenants.scope import tenant_scope

FIELDS = {"kind": "openai", "url": "http://127.0.0.1:9/v1"}


@pytest.fixture
def globex(transactional_db: None) -> Tenant:
    return Tenant.open("globex", by="test")


@pytest.fixture
def version(acme: Tenant, globex: Tenant) -> Iterator[ModelVersion]:
    """That of the model `own`, which is acme's alone."""
    plain = {"kind": "full", "state": "ready", "created_by": "test", "number": 1}
    version = ModelVersion.objects.create(tenant=acme, name="tuned", **plain)
    model = Model.add("own", by="test")
    Model.objects.update(only_for=acme.pk)
    engine = Engine.add(Pool.add(model, "own", by="test"), "own", by="test", **FIELDS)
    Engine.objects.filter(pk=engine.pk).update(model_version_id=version.pk)
    engines.put_in_force([EngineEntry("own", "own", "own", FIELDS, only_for=acme.pk)])
    yield version
    engines.forget()


def quantise(tenant: Tenant, base: str, pool: str = "") -> Job:
    owner = JobOwner(tenant.id, uuid4(), "key:test")
    with tenant_scope(tenant.id):
        return creating.create(owner, Wanted(kind="quantise", base=base, pool=pool))


def test_its_tenant_trains_there(acme: Tenant, version: ModelVersion) -> None:
    job = quantise(acme, "own")
    assert (job.pool, job.base_version_id) == ("own", version.pk)


def test_for_others_neither_the_model_nor_its_pool_exists(
    globex: Tenant, version: ModelVersion
) -> None:
    base = ModelVersion.objects.create(
        name="base", kind="base", state="ready", created_by="test", number=1
    )
    for name in ("own", "none"):
        with pytest.raises(JobRefused, match=f"there is no model `{name}`"):
            quantise(globex, name)
        with pytest.raises(JobRefused, match=f"there is no pool `{name}`"):
            quantise(globex, str(base), pool=name)
    with pytest.raises(NoPool):
        quantise(globex, str(base))
    assert not Job.objects.exists()
