"""Versions that jobs make: what was broken off, or has no room, takes none."""

from pathlib import Path
from unittest.mock import Mock
from uuid import uuid4

import orjson
import pytest
from pytest_django.fixtures import Settings

from inference.data_sets import importing, prepared, storage_limit
from inference.data_sets.storage_limit import TooLarge
from inference.jobs import results
from inference.models import ChunkPart, DataSet, DataSetState, DataSetVersion
from tests.inference.data_sets.conftest import BY, chat, jsonl, uploaded

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def version(manual: DataSet) -> DataSetVersion:
    return uploaded(manual, jsonl(chat(f"Where is sluice {number}?") for number in range(9)))


def test_what_a_killed_job_had_stored_takes_no_room(
    version: DataSetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared.write_files(version, tmp_path)
    job, before = uuid4(), storage_limit.stored(version.tenant_id)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(importing, "complete", Mock(side_effect=KeyboardInterrupt))
        prepared.register(version, tmp_path, job_id=job, by=BY)
    assert storage_limit.stored(version.tenant_id) > before
    made = prepared.register(version, tmp_path, job_id=job, by=BY)
    assert storage_limit.stored(version.tenant_id) == before + made.stored_bytes


def test_a_result_that_is_too_large_leaves_nothing(
    version: DataSetVersion, tmp_path: Path, settings: Settings
) -> None:
    prepared.write_files(version, tmp_path)
    before = storage_limit.stored(version.tenant_id)
    settings.DATA_SET_BYTES = version.stored_bytes - 1
    with pytest.raises(TooLarge):
        prepared.register(version, tmp_path, job_id=uuid4(), by=BY)
    made = version.data_set.versions.get(parent=version)
    assert (made.state, made.problem) == (DataSetState.FAILED, "too_large")
    assert storage_limit.stored(version.tenant_id) == before


def test_a_report_with_many_samples_is_read(version: DataSetVersion, tmp_path: Path) -> None:
    prepared.write_files(version, tmp_path)
    samples = {f"masked:{kind}": [{"text": "水" * 300}] * 100 for kind in range(4)}
    (tmp_path / "report.json").write_bytes(orjson.dumps({"documents": 9, "samples": samples}))
    made = prepared.register(version, tmp_path, job_id=uuid4(), by=BY)
    assert made.report["job"] == results._report(tmp_path) == {"documents": 9}
    assert made.chunks.filter(part=ChunkPart.SAMPLES).exists()
