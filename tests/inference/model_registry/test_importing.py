"""Imports bring versions from folders, archives, https and git, and nothing else with them."""

import gzip
import hashlib
import io
import os
import subprocess
import tarfile
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from threading import Barrier, BrokenBarrierError, Event
from typing import Any, ClassVar
from unittest.mock import Mock

import pytest
from django.core.exceptions import ValidationError
from django.db import OperationalError, connection
from django.utils import timezone
from pytest_django.fixtures import Settings

from config.tls.authority import Authority
from inference.model_registry import importing, registering, tidying
from inference.model_registry.headers.header import BadFile
from inference.model_registry.importing import begin, import_all
from inference.model_registry.source import Source
from inference.model_registry.sources import git, progress
from inference.models import ModelVersion, VersionKind, VersionState
from infrastructure.objects.content import ContentStore
from infrastructure.objects.place import StoreError
from tenants.models import Tenant
from tests.inference.model_registry.files import folder, gguf, safetensors
from tests.inference.model_registry.https_server import BACKEND, Served, serving

pytestmark = pytest.mark.django_db(transaction=True)
BY = "test"
_MODES: Any = {"tar": "w", "gz": "w:gz"}


@pytest.fixture(autouse=True)
def places(tmp_path: Path, settings: Settings) -> None:
    settings.MODEL_IMPORTS = tmp_path / "imports"
    settings.MODEL_FOLDERS = [tmp_path / "models"]
    (tmp_path / "models").mkdir()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    authority = Authority.make(tmp_path / "tls")
    monkeypatch.setenv("FOREBAY_TLS_CA", str(tmp_path / "tls" / "ca.crt"))
    with serving(authority) as served:
        served.repositories = tmp_path / "git"
        yield served


class Slow:
    """A source that a test has registered."""

    row: ClassVar[dict[str, str]] = {"type": "slow", "url": "slow://"}

    def check(self, *, by_tenant: bool) -> None:
        """It may be anybody's."""


def imported(source: Source, tenant: Tenant | None = None) -> ModelVersion:
    """Import as the jobs process does, and return the version as it is then."""
    version = begin(
        tenant_id=tenant.pk if tenant else None,
        name="x",
        kind=VersionKind.BASE,
        source=source,
        by=BY,
    )
    for thread in import_all():
        thread.join(300)
    version.refresh_from_db()
    return version


def problem_of(source: Source, tenant: Tenant | None = None) -> str:
    version = imported(source, tenant)
    assert version.state == VersionState.FAILED
    assert not version.files.exists()
    return version.problem


def by_https(served: Served, content: bytes, path: str = "/model.gguf") -> Source:
    served.files[path] = content
    digest = hashlib.sha256(content).hexdigest()
    return Source("https", url=served.url(path), sha256=digest)


# Folders and archives ----------------------------------------------------------------------------
def test_an_operator_imports_a_folder(tmp_path: Path) -> None:
    folder(tmp_path / "models" / "m")
    version = imported(Source("folder", path="m"))
    assert (version.state, version.problem) == (VersionState.READY, "")
    assert version.files.count() == 3


def test_a_tenant_imports_no_folder_of_the_machine(acme: Tenant, tmp_path: Path) -> None:
    folder(tmp_path / "models" / "m")
    with pytest.raises(ValidationError, match="Only operators"):
        imported(Source("folder", path="m"), acme)


@pytest.mark.parametrize("path", ["..", "../x", "/etc", "", "none", "link", "m\0"])
def test_folders_elsewhere_are_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "models" / "link").symlink_to(tmp_path)
    with pytest.raises(ValidationError, match="no folder of FOREBAY_MODELS"):
        imported(Source("folder", path=path))


@pytest.mark.parametrize("form", ["zip", "tar", "gz"])
def test_archives_are_unpacked(tmp_path: Path, form: str) -> None:
    where, archive = folder(tmp_path / "m"), tmp_path / "models" / "m.archive"
    if form == "zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for file in where.iterdir():
                packed.write(file, f"m/{file.name}")
    else:
        with tarfile.open(archive, _MODES[form]) as packed_tar:
            packed_tar.add(where, "m")
    version = imported(Source("folder", path="m.archive"))
    assert {file.name for file in version.files.all()} == {
        "README.md",
        "config.json",
        "model.safetensors",
    }


def _zip(path: Path, names: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in names.items():
            packed.writestr(name, content)


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out", "a\\..\\out", "a/b/c/d/e/f/g"])
@pytest.mark.parametrize("form", ["zip", "tar"])
def test_names_that_leave_the_folder_are_refused(tmp_path: Path, name: str, form: str) -> None:
    archive = tmp_path / "models" / "bad"
    if form == "zip":
        _zip(archive, {name: b"x"})
    else:
        with tarfile.open(archive, "w") as packed:
            member = tarfile.TarInfo(name)
            packed.addfile(member, io.BytesIO())
    assert "archive" in problem_of(Source("folder", path="bad"))
    assert not (tmp_path / "out").exists()
    assert not list((tmp_path / "imports").iterdir())


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "models" / "bad", "w") as packed:
        member = tarfile.TarInfo("model.safetensors")
        member.type, member.linkname = kind, "/etc/passwd"
        packed.addfile(member)
    assert "a link or a device" in problem_of(Source("folder", path="bad"))


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    member = zipfile.ZipInfo("model.safetensors")
    member.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "models" / "bad", "w") as packed:
        packed.writestr(member, "/etc/passwd")
    assert "has a link" in problem_of(Source("folder", path="bad"))


def test_an_archive_that_grows_without_end_stops_at_the_room(
    tmp_path: Path, settings: Settings
) -> None:
    _zip(tmp_path / "models" / "bomb", {"model.safetensors": bytes(50_000_000)})
    assert (tmp_path / "models" / "bomb").stat().st_size < 100_000
    settings.MODEL_COPIES_BYTES = 1_000_000
    assert "larger than the room" in problem_of(Source("folder", path="bomb"))


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    _zip(tmp_path / "models" / "many", {f"{n}.txt": b"" for n in range(2001)})
    assert "more than 2000 files" in problem_of(Source("folder", path="many"))


@pytest.mark.parametrize("kind", [b"x", b"L", b"K", b"g"])
def test_a_header_that_announces_gigabytes_is_not_read(tmp_path: Path, kind: bytes) -> None:
    """A pax header, or a long name, is read into memory by the library."""
    member = tarfile.TarInfo("header")
    member.type, member.size = kind, 3_000_000_000
    with gzip.open(tmp_path / "models" / "bomb", "wb") as packed:
        packed.write(member.tobuf(tarfile.GNU_FORMAT) + bytes(3_000_000))
    assert "a header that is too large" in problem_of(Source("folder", path="bomb"))


def test_the_directory_of_a_zip_is_not_read_beyond_a_size(tmp_path: Path) -> None:
    _zip(tmp_path / "models" / "bomb", {f"{n}.txt": b"" for n in range(70_000)})
    assert "more than 2000 files" in problem_of(Source("folder", path="bomb"))


def test_methods_that_need_much_memory_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "models" / "m", "w", zipfile.ZIP_LZMA) as packed:
        packed.writestr("model.safetensors", b"x")
    assert "compressed in a way" in problem_of(Source("folder", path="m"))


def test_what_is_left_out_counts_as_well(tmp_path: Path, settings: Settings) -> None:
    settings.MODEL_COPIES_BYTES = 1_000_000
    _zip(tmp_path / "models" / "bomb", {".git/x": bytes(50_000_000)})
    assert "larger than the room" in problem_of(Source("folder", path="bomb"))


def test_a_broken_archive_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "models" / "broken"
    _zip(archive, {"model.safetensors": os.urandom(100_000)})
    raw = bytearray(archive.read_bytes())
    raw[5_000:6_000] = bytes(1_000)
    archive.write_bytes(raw)
    assert "broken" in problem_of(Source("folder", path="broken"))


# https -------------------------------------------------------------------------------------------
def test_a_file_is_downloaded(server: Served, tmp_path: Path) -> None:
    content = gguf(tmp_path / "m.gguf").read_bytes()
    version = imported(by_https(server, content))
    assert version.state == VersionState.READY, version.problem
    assert [file.name for file in version.files.all()] == ["model.gguf"]


def test_another_sum_is_refused(server: Served, tmp_path: Path) -> None:
    source = by_https(server, gguf(tmp_path / "m.gguf").read_bytes())
    server.files["/model.gguf"] += b"?"
    assert "not the one that was given" in problem_of(source)


def test_redirects_lead_to_allowed_hosts_alone(server: Served, tmp_path: Path) -> None:
    content = gguf(tmp_path / "m.gguf").read_bytes()
    source = by_https(server, content, "/to")
    moved = Source("https", url=server.url("/from.gguf"), sha256=source.sha256)
    server.redirects["/from.gguf"] = "/to"
    assert imported(moved).state == VersionState.READY
    for elsewhere in ("http://localhost/x", "https://169.254.169.254/x", "file:///etc/passwd"):
        server.redirects["/from.gguf"] = elsewhere
        assert problem_of(moved)
    server.redirects["/from.gguf"] = "/from.gguf"
    assert "redirects without end" in problem_of(moved)


def test_a_download_stops_at_the_room(server: Served, settings: Settings) -> None:
    settings.MODEL_COPIES_BYTES = 1_000
    assert "larger than the room" in problem_of(by_https(server, bytes(1_001)))


def test_a_server_that_nobody_trusts_is_refused(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FOREBAY_TLS_CA")
    assert "not trusted" in problem_of(by_https(server, b"x"))


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/x",
        "https://user:word@localhost/x",
        "ftp://localhost/x",
        "https:///x",
        "https://localhost/x y",
    ],
)
def test_other_urls_are_refused_at_once(url: str) -> None:
    with pytest.raises(ValidationError, match="must begin with https"):
        imported(Source("https", url=url, sha256="0" * 64))


def test_a_link_local_address_is_never_asked(settings: Settings) -> None:
    settings.MODEL_HOSTS = ["169.254.169.254"]
    source = Source("https", url="https://169.254.169.254/x", sha256="0" * 64)
    assert "no address from which models may be imported" in problem_of(source)


def test_a_tenant_asks_named_hosts_alone(
    server: Served, acme: Tenant, settings: Settings, tmp_path: Path
) -> None:
    source = by_https(server, gguf(tmp_path / "m.gguf").read_bytes())
    with pytest.raises(ValidationError, match="FOREBAY_MODEL_HOSTS"):
        imported(source, acme)
    settings.MODEL_HOSTS = ["localhost"]
    assert imported(source, acme).state == VersionState.READY


# git ---------------------------------------------------------------------------------------------
needs_git = pytest.mark.skipif(not os.path.exists(BACKEND), reason="no git-http-backend here")


def repository(served: Served, where: Path) -> str:
    """Make a repository of a folder. Returns its commit."""
    who = {"GIT_AUTHOR_NAME": "t", "GIT_COMMITTER_NAME": "t", "HOME": str(where)}
    who |= {"GIT_AUTHOR_EMAIL": "t@t", "GIT_COMMITTER_EMAIL": "t@t"}

    def git(*words: str) -> str:
        run = subprocess.run(
            ["git", "-C", str(where), *words], env={**os.environ, **who}, capture_output=True
        )
        assert run.returncode == 0, run.stderr
        return run.stdout.decode().strip()

    git("init", "--quiet", "-b", "main")
    git("add", "-A")
    git("commit", "--quiet", "-m", "files")
    served.repositories.mkdir(exist_ok=True)
    subprocess.run(
        ["git", "clone", "--quiet", "--bare", str(where), str(served.repositories / "m.git")],
        check=True,
    )
    return git("rev-parse", "HEAD")


@needs_git
def test_a_branch_and_a_commit_are_fetched(server: Served, tmp_path: Path) -> None:
    commit = repository(server, folder(tmp_path / "m"))
    for revision in ("main", "HEAD", commit):
        version = imported(Source("git", url=server.url("/git/m.git"), revision=revision))
        assert version.state == VersionState.READY, version.problem
        assert version.source["commit"] == commit
        assert version.files.count() == 3


@needs_git
def test_pointers_of_large_files_are_refused_with_advice(server: Served, tmp_path: Path) -> None:
    where = folder(tmp_path / "m")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    (where / "model.safetensors").write_text(pointer)
    repository(server, where)
    assert "git lfs pull" in problem_of(Source("git", url=server.url("/git/m.git")))


@needs_git
def test_a_repository_of_endless_empty_files_is_left(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its trees may name the same empty file a million times: no bytes, but the disk's inodes."""
    monkeypatch.setattr(git, "MOST_ENTRIES", 200)
    monkeypatch.setattr(git, "LOOK_S", 0.01)
    where = folder(tmp_path / "m")
    for number in range(3_000):
        (where / f"{number}.txt").touch()
    repository(server, where)
    assert "more than 200 files" in problem_of(Source("git", url=server.url("/git/m.git")))
    assert not list((tmp_path / "imports").iterdir())


@needs_git
def test_a_link_in_a_repository_leads_nowhere(server: Served, tmp_path: Path) -> None:
    where = folder(tmp_path / "m")
    (where / "README.md").unlink()
    (where / "README.md").symlink_to("/etc/passwd")
    repository(server, where)
    version = imported(Source("git", url=server.url("/git/m.git")))
    assert version.card == "/etc/passwd"  # the text of the link, not the file


@needs_git
def test_what_is_not_there_is_said(server: Served, tmp_path: Path) -> None:
    repository(server, folder(tmp_path / "m"))
    url = server.url("/git/m.git")
    assert "git cannot fetch" in problem_of(Source("git", url=url, revision="none"))
    assert "no folder" in problem_of(Source("git", url=url, path="../.."))
    for revision in ("--upload-pack=x", "-x", "a b", ""):
        with pytest.raises(ValidationError, match="a branch, a tag"):
            imported(Source("git", url=url, revision=revision))


def test_a_tenant_cannot_fill_the_line_of_imports(
    acme: Tenant, globex: Tenant, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MODEL_HOSTS = ["localhost"]
    monkeypatch.setattr(importing, "MOST_IMPORTS", 2)
    source = Source("https", url="https://localhost/x", sha256="0" * 64)

    def another(tenant: Tenant) -> None:
        begin(tenant_id=tenant.pk, name="x", kind=VersionKind.BASE, source=source, by=BY)

    for _ in range(2):
        another(acme)
    with pytest.raises(ValidationError, match="2 imports under way"):
        another(acme)
    another(globex)


def test_two_requests_at_the_same_time_do_not_get_past_the_bound(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "MOST_IMPORTS", 1)
    monkeypatch.setitem(importing._fetches, "slow", lambda *_: Path())
    both, create = Barrier(2), ModelVersion.begin

    def create_together(**fields: Any) -> ModelVersion:
        with suppress(BrokenBarrierError):
            both.wait(0.5)
        return create(**fields)

    def another() -> bool:
        try:
            begin(tenant_id=acme.pk, name="x", kind=VersionKind.BASE, source=Slow(), by=BY)
        except ValidationError:
            return False
        finally:
            connection.close()
        return True

    monkeypatch.setattr(ModelVersion, "begin", create_together)
    with ThreadPoolExecutor(2) as threads:
        begun = [threads.submit(another) for _ in range(2)]
    assert sorted(each.result() for each in begun) == [False, True]


def test_slow_imports_of_a_tenant_leave_places_for_others(
    acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = Event()

    def wait(*_: Any) -> Path:
        goes_on.wait(60)
        raise BadFile("it was slow")

    def another(tenant: Tenant) -> ModelVersion:
        kind = VersionKind.BASE
        return begin(tenant_id=tenant.pk, name="x", kind=kind, source=Slow(), by=BY)

    monkeypatch.setitem(importing._fetches, "slow", wait)
    for _ in range(5):
        another(acme)
    threads = import_all()
    theirs = another(globex)
    threads += import_all()
    goes_on.set()
    for thread in threads:
        thread.join(60)
    assert len(threads) == 3
    theirs.refresh_from_db()
    assert theirs.problem == "it was slow"


def test_a_server_that_is_too_slow_is_left(
    server: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(progress, "WITHIN_S", -1)
    source = by_https(server, gguf(tmp_path / "m.gguf").read_bytes())
    assert problem_of(source) == "it did not end in time"


# Processes that die ------------------------------------------------------------------------------
def test_an_import_that_waits_for_its_turn_is_not_given_up_at_night(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(importing._fetches, "slow", lambda *_: Path())
    version = begin(tenant_id=acme.pk, name="x", kind=VersionKind.BASE, source=Slow(), by=BY)
    tidying.give_up()
    version.refresh_from_db()
    assert version.state == VersionState.IMPORTING


def test_another_process_goes_on_with_an_import(tmp_path: Path) -> None:
    safetensors(tmp_path / "models" / "m" / "model.safetensors")
    version = begin(
        tenant_id=None,
        name="x",
        kind=VersionKind.BASE,
        source=Source("folder", path="m"),
        by=BY,
    )
    assert version.claim_import()  # by a process that dies then
    assert not import_all()
    ModelVersion.objects.update(touched_at=timezone.now() - timedelta(minutes=2))
    for thread in import_all():
        thread.join(300)
    version.refresh_from_db()
    assert (version.state, version.source["attempts"]) == (VersionState.READY, 2)


def test_another_process_goes_on_where_files_were_being_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(tmp_path / "models" / "m")
    source = Source("folder", path="m")
    version = begin(tenant_id=None, name="x", kind=VersionKind.BASE, source=source, by=BY)
    with monkeypatch.context() as patch:
        patch.setattr(importing, "complete", Mock(side_effect=RuntimeError))
        for thread in import_all():
            thread.join(300)
    assert version.files.count() == 3
    ModelVersion.objects.update(touched_at=timezone.now() - timedelta(minutes=2))
    for thread in import_all():
        thread.join(300)
    version.refresh_from_db()
    assert (version.state, version.problem) == (VersionState.READY, "")
    assert version.files.count() == 3


class Away:
    """A store that refuses files until it has been asked so often."""

    def __init__(self, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked, self._times, self._put = 0, times, ContentStore.put
        monkeypatch.setattr(ContentStore, "put", lambda *given: self.put(*given))
        monkeypatch.setattr(registering, "STORE_AGAIN_S", 0.01)

    def put(self, *given: Any) -> None:
        self.asked += 1
        if self.asked <= self._times:
            raise StoreError("no answer")
        self._put(*given)


def test_an_import_outlives_a_store_that_is_away_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(tmp_path / "models" / "m")
    store = Away(2, monkeypatch)
    version = imported(Source("folder", path="m"))
    assert (version.state, version.problem) == (VersionState.READY, "")
    assert (store.asked, version.source["attempts"]) == (5, 1)


def test_a_store_that_stays_away_ends_an_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(tmp_path / "models" / "m")
    store = Away(10**9, monkeypatch)
    monkeypatch.setattr(importing, "STORE_WITHIN_S", 0.05)
    version = imported(Source("folder", path="m"))
    assert (version.state, version.problem) == (
        VersionState.FAILED,
        "its files could not be stored",
    )
    assert store.asked > 1


def test_a_version_that_is_deleted_waits_for_no_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(tmp_path / "models" / "m")
    store = Away(10**9, monkeypatch)
    monkeypatch.setattr(ModelVersion, "alive", lambda _version: False)
    imported(Source("folder", path="m"))
    assert store.asked == 1


def test_an_import_outlives_a_postgresql_that_is_away_for_a_moment(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "BEAT_S", 0.01)
    beats = list[bool]()

    def alive(version: ModelVersion) -> bool:
        beats.append(True)
        if len(beats) == 1:
            raise OperationalError
        return beating(version)

    def slow(self: object, size: int) -> None:
        end = time.monotonic() + 30
        while len(beats) < 3 and time.monotonic() < end:
            time.sleep(0.01)
        original(self, size)  # type: ignore[arg-type]

    beating, original = ModelVersion.alive, progress.Budget.spend
    monkeypatch.setattr(ModelVersion, "alive", alive)
    monkeypatch.setattr(progress.Budget, "spend", slow)
    imported(by_https(server, gguf(tmp_path / "m.gguf").read_bytes()))
    assert len(beats) >= 3


def test_an_import_that_ends_three_processes_fails(tmp_path: Path) -> None:
    safetensors(tmp_path / "models" / "m" / "model.safetensors")
    version = begin(
        tenant_id=None,
        name="x",
        kind=VersionKind.BASE,
        source=Source("folder", path="m"),
        by=BY,
    )
    for _ in range(3):
        version.refresh_from_db()
        assert version.claim_import()
        ModelVersion.objects.update(touched_at=timezone.now() - timedelta(minutes=2))
    version.refresh_from_db()
    assert not version.claim_import()
    assert version.state == VersionState.FAILED


def test_a_deleted_version_stops_its_import(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "BEAT_S", 0.01)

    def slow(self: object, size: int) -> None:
        ModelVersion.objects.update(state=VersionState.DELETED)
        time.sleep(0.5)
        original(self, size)  # type: ignore[arg-type]

    original = progress.Budget.spend
    monkeypatch.setattr(progress.Budget, "spend", slow)
    version = imported(by_https(server, b"x"))
    assert version.state == VersionState.DELETED
    assert not version.files.exists()
