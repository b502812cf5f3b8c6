"""Archives that would fill the memory of whoever looks into them."""

import contextlib
import gzip
import io
import lzma
import random
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from inference.data_sets import archives as pages
from inference.data_sets.archives import BadArchive
from inference.model_registry.headers.header import BadFile
from inference.model_registry.sources import archives as models
from inference.model_registry.sources.progress import Budget
from infrastructure.untrusted_archives import decompressed, tar_members, zip_directory

pytestmark = pytest.mark.unit
BLOCK = 512


def sparse(blocks: int) -> bytes:
    """A sparse file of GNU's, whose list of holes goes on for many blocks, in gzip."""
    head = bytearray(tarfile.TarInfo("page.md").tobuf(tarfile.GNU_FORMAT))
    head[156:157] = tarfile.GNUTYPE_SPARSE
    head[482] = 1  # the list goes on
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    hole = b"%011o\0%011o\0" % (1, 1)
    more = hole * 21 + b"\1" + bytes(BLOCK - 21 * 24 - 1)
    last = bytes(BLOCK)
    return gzip.compress(bytes(head) + more * blocks + last, 1)


def pax(size: int) -> bytes:
    """A head that says how large it is, and is mostly zeros."""
    member = tarfile.TarInfo("head")
    member.type, member.size = tarfile.XHDTYPE, size
    return gzip.compress(member.tobuf(tarfile.GNU_FORMAT) + bytes(size), 1)


def hidden_directory() -> bytes:
    """A zip whose end seems to stand where there is none: in the place of its directory."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("page.md", "x")
    whole = bytearray(packed.getvalue())
    at = whole.rfind(b"PK\5\6")
    whole[at + 12 : at + 16] = struct.pack("<I", 1 << 30)
    whole[at + 16 : at + 20] = b"PK\5\6"
    return bytes(whole)


def read_pages(content: bytes) -> list[pages.Page]:
    return list(pages.pages(io.BufferedReader(io.BytesIO(content))))


@pytest.mark.parametrize("bomb", [sparse(10_000), pax(6_000_000), hidden_directory()])
def test_what_is_read_at_once_is_bounded(bomb: bytes, tmp_path: Path) -> None:
    assert len(bomb) < 200_000
    with pytest.raises(BadArchive, match="archive_too_large"):
        read_pages(bomb)
    (tmp_path / "bomb").write_bytes(bomb)
    with pytest.raises(BadFile, match=r"header that is too large|more than 2000 files"):
        models.unpack(tmp_path / "bomb", tmp_path, Budget(1 << 40))


def test_a_sparse_file_is_no_file(tmp_path: Path) -> None:
    """Its size is what it says, not what it takes."""
    assert [page.problem for page in read_pages(sparse(1))] == ["not_a_file"]
    (tmp_path / "sparse").write_bytes(sparse(1))
    with pytest.raises(BadFile, match="a link or a device"):
        models.unpack(tmp_path / "sparse", tmp_path, Budget(1 << 40))


def test_xz_takes_no_more_memory_than_the_platform_says() -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("page.md"), io.BytesIO())
    greedy = [{"id": lzma.FILTER_LZMA2, "dict_size": 512 << 20}]
    with pytest.raises(BadArchive, match="archive_broken"):
        read_pages(lzma.compress(packed.getvalue(), filters=greedy))
    assert read_pages(lzma.compress(packed.getvalue())) == [pages.Page("page.md")]


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_methods_of_a_zip_that_take_much_memory_are_refused(method: int) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.writestr("page.md", "x")
    with pytest.raises(BadArchive, match="archive_encrypted"):
        read_pages(packed.getvalue())


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_members_of_any_size_are_read_one_after_the_other(mode: str) -> None:
    sizes = [0, 1, BLOCK, BLOCK + 1, 3_000_000, 2 * BLOCK, 5_000_000]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:  # type: ignore[call-overload]
        for number, size in enumerate(sizes):
            entry = tarfile.TarInfo(f"{'long' * 50}/{number}.md")
            entry.size = size
            archive.addfile(entry, io.BytesIO(b"%d" % (number % 10) * size))
    packed.seek(0)
    file = decompressed(io.BufferedReader(packed))
    read = []
    for number, (_info, content) in enumerate(tar_members(file)):
        assert content
        # Some are read as a whole, some in part, one not at all.
        read.append(len(content.read([-1, 10, 0][number % 3])))
    assert read == [0, 1, 0, BLOCK + 1, 10, 0, 5_000_000]


def test_what_is_no_zip_has_no_directory() -> None:
    with pytest.raises(zipfile.BadZipFile):
        zip_directory(io.BytesIO(b"PK"))


def _damaged(content: bytes, seed: int) -> bytes:
    """The archive with a byte, or some, changed, and with the right sum in a tar's first head."""
    draw, changed = random.Random(seed), bytearray(content)
    for _ in range(draw.randint(1, 5)):
        at = draw.randrange(len(changed))
        changed[at] = draw.choice(b"\0\x7f\x80\xffSLKx017")
        if draw.random() < 0.3:
            del changed[at : at + draw.randint(1, 600)]
    changed[148:156] = b" " * 8
    changed[148:156] = b"%06o\0 " % (sum(changed[:BLOCK]) & 0o777777)
    return bytes(changed)


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_archive_is_refused_in_words_or_read(seed: int, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("图.md", "x" * 300)
    for content in (gzip.decompress(sparse(2)), packed.getvalue()):
        damaged = _damaged(content, seed)
        with contextlib.suppress(BadArchive):
            read_pages(damaged)
        (tmp_path / "file").write_bytes(damaged)
        if models.is_archive(tmp_path / "file"):
            with contextlib.suppress(BadFile, OSError):
                models.unpack(tmp_path / "file", tmp_path, Budget(1 << 40))
