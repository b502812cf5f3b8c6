"""A data set of acme, and words for what tests do with its versions."""

import io
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from typing import Any

import orjson
import pytest

from inference.data_sets import chunks, importing, rows, uploading
from inference.models import ChunkPart, DataSet, DataSetFormat, DataSetVersion
from tenants.models import Member, Tenant
from tenants.roles import Role
from tenants.scope import tenant_scope
from tests.people import join

BY = "test"


Pack = Callable[[dict[str, str]], bytes]


def jsonl(objects: Iterable[Any]) -> bytes:
    return b"".join(orjson.dumps(one) + b"\n" for one in objects)


def chat(question: str, answer: str = "Behind the dam.", **more: Any) -> dict[str, Any]:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": turns, **more}


def zipped(pages: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in pages.items():
            archive.writestr(name, text)
    return packed.getvalue()


def tarred(pages: dict[str, str], compression: str = "gz") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=f"w:{compression}") as archive:  # type: ignore[call-overload]
        for name, text in pages.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()


def uploaded(
    data_set: DataSet,
    content: bytes,
    form: DataSetFormat = DataSetFormat.CHATS,
    *,
    pieces: int = 1,
) -> DataSetVersion:
    """A version whose upload has been read, or refused."""
    return imported(waiting(data_set, content, form, pieces=pieces))


def waiting(
    data_set: DataSet,
    content: bytes,
    form: DataSetFormat = DataSetFormat.CHATS,
    *,
    pieces: int = 1,
) -> DataSetVersion:
    """A version whose upload is whole, and waits to be read."""
    size = -(-len(content) // pieces) or 1
    with tenant_scope(data_set.tenant_id):
        version = uploading.begin(data_set, form, by=BY)
        for number, start in enumerate(range(0, len(content), size)):
            uploading.add_piece(version, number, content[start : start + size])
        uploading.finish(version)
    return version


def imported(version: DataSetVersion) -> DataSetVersion:
    importing.import_due()
    version.refresh_from_db()
    return version


def texts(version: DataSetVersion, part: ChunkPart = ChunkPart.TRAIN) -> list[str]:
    return [rows.text_of(row.line) for row in chunks.rows(version, part)]


@pytest.fixture
def alice(acme: Tenant) -> Member:
    return join(acme, "alice@acme.example", Role.OWNER)


@pytest.fixture
def bob(acme: Tenant) -> Member:
    return join(acme, "bob@acme.example", Role.MEMBER)


@pytest.fixture
def manual(acme: Tenant, alice: Member) -> DataSet:
    with tenant_scope(acme.pk):
        return DataSet.create(acme, "manual", alice.subject_id, by=alice.actor)
