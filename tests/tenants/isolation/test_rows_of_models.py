"""Rows of jobs, data sets, versions of models, uploads and evaluations, for the requests' role.

As in an installation: the tables are handed over, and what a request may is what PostgreSQL lets
its role do in the scope of its tenant.
"""

from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from django.db import DatabaseError, connection, models, transaction

from console.isolation.sample_objects import Objects
from inference.models import (
    Adapter,
    DataSet,
    DataSetNotice,
    DataSetVersion,
    Document,
    DocumentPiece,
    Evaluation,
    File,
    Job,
    JobCheckpoint,
    JobEvent,
    JobMetric,
    KnowledgeBase,
    ModelFile,
    ModelVersion,
    Passage,
    PassageWord,
    PolicyEvaluation,
    TaskSet,
)
from inference.models.data_set import DataSetChunk
from inference.models.file import FileChunk
from inference.models.model_version import ModelDataSet, ModelParent
from tenants.models import ApiKey, Tenant
from tenants.scope import tenant_scope
from tests.unguarded import as_requests, protected

pytestmark = pytest.mark.django_db(transaction=True)
MODELS: list[type[models.Model]] = [
    *(Job, JobCheckpoint, JobEvent, JobMetric),
    *(DataSet, DataSetVersion, DataSetChunk, DataSetNotice),
    *(ModelVersion, ModelFile, ModelParent, ModelDataSet, Adapter),
    *(File, FileChunk, TaskSet, Evaluation, PolicyEvaluation),
    *(KnowledgeBase, Document, DocumentPiece, Passage, PassageWord),
]


@pytest.fixture
def others(acme: Tenant, globex: Tenant) -> dict[str, int]:
    """Counts of other tenants' rows by table. The connection has the role of requests."""
    for tenant in (acme, globex):
        objects = Objects(tenant, tenant.name)
        objects.asked_with, _text = ApiKey.issue(tenant, "batches", by="test")
        objects.furnish()
        _link(tenant)
    version = ModelVersion.objects.create(name="base", number=1, kind="base", created_by="test")
    digest = {"sha256": "0" * 64, "size": 1}
    ModelFile.objects.create(tenant=None, version=version, name="model.gguf", **digest)
    counts = {
        model._meta.db_table: model._default_manager.exclude(tenant=acme).count()
        for model in MODELS
    }
    assert all(counts.values()), counts
    return counts


def _link(tenant: Tenant) -> None:
    """Rows that lead from one to another."""
    job, version = (
        Job.objects.filter(tenant=tenant)[0],
        ModelVersion.objects.filter(tenant=tenant)[0],
    )
    JobEvent.objects.create(tenant=tenant, job=job, code="x", message="x")
    JobMetric.objects.create(tenant=tenant, job=job, step=1)
    ModelParent.objects.create(tenant=tenant, version=version, parent=version)
    ModelDataSet.objects.create(tenant=tenant, version=version, data_set_version_id=uuid4())


@pytest.fixture
def as_acme(acme: Tenant, others: dict[str, int]) -> Iterator[None]:
    with protected(), as_requests(), tenant_scope(acme.pk):
        yield


def run(statement: str, *values: UUID | None) -> int:
    """Returns the number of rows that a statement reached; 0 if the role may not do it."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement, values)
            return int(cursor.rowcount)
    except DatabaseError as refusal:
        assert "permission denied" in str(refusal) or "row-level security" in str(refusal), refusal
        return 0


def test_a_tenants_request_sees_and_changes_no_row_of_another(
    acme: Tenant, globex: Tenant, as_acme: None
) -> None:
    for model in MODELS:
        table = model._meta.db_table
        assert run(f'select from "{table}" where tenant_id = %s', acme.pk), table
        assert not run(f'select from "{table}" where tenant_id = %s', globex.pk), table
        of_others = "where tenant_id is distinct from %s"
        assert not run(f'update "{table}" set tenant_id = tenant_id {of_others}', acme.pk), table
        assert not run(f'delete from "{table}" {of_others}', acme.pk), table


def test_no_row_is_given_to_another_tenant_or_to_the_platform(
    acme: Tenant, globex: Tenant, as_acme: None
) -> None:
    for model in MODELS:
        table = model._meta.db_table
        for tenant in (globex.pk, None):
            given = f'update "{table}" set tenant_id = %s where tenant_id = %s'
            assert not run(given, tenant, acme.pk), table


def test_rows_of_the_platform_are_read_by_everybody(as_acme: None) -> None:
    assert run("select from inference_modelversion where tenant_id is null") == 1
    assert run("select from inference_modelfile where tenant_id is null") == 1
