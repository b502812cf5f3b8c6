"""Our static files under names with a hash of their content, which browsers may keep for ever.

Each process makes them in memory when it first needs them, from the folders that are served: there
is nothing to collect, and the same content has the same name in every process and version. Django's
HashedFilesMixin rewrites imports between JavaScript modules and URLs in style sheets.
"""

import gzip
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from mimetypes import guess_type
from pathlib import Path
from threading import Lock
from typing import cast

from django.conf import settings
from django.contrib.staticfiles.finders import FileSystemFinder
from django.contrib.staticfiles.storage import HashedFilesMixin, staticfiles_storage
from django.core.files.storage import FileSystemStorage, InMemoryStorage

# Tenants' pages name the widget: its address must not change.
STABLE = "widget/"
_HASHED = re.compile(r"^(?P<stem>.+)\.[0-9a-f]{12}(?P<suffix>\.\w+)$")
_TEXT = (".css", ".js", ".mjs", ".svg")


@dataclass(frozen=True, slots=True)
class HashedFile:
    content: bytes
    compressed: bytes | None  # None: it would hardly become smaller
    media_type: str


class HashedFiles(HashedFilesMixin, InMemoryStorage):  # type: ignore[misc]  # as Django's own
    """The storage of `{% static %}`. Files of other packages keep their names."""

    support_js_module_import_aggregation = True
    # Fonts of older formats are named in KaTeX's style sheet, too; none is here.
    patterns = (("*.css", (r"""(?P<matched>url\(['"]?(?P<url>[^'")]+\.woff2)['"]?\))""",)),)
    keep_intermediate_files = False
    # A module gets its name after those that it imports: passes for the longest chain of them.
    max_post_process_passes = 20

    def __init__(self) -> None:
        super().__init__(base_url=settings.STATIC_URL)
        self._making = Lock()

    @property
    def names(self) -> Mapping[str, str]:
        """Returns the hashed names of our files. Raises ValueError for an import of no file."""
        with self._making:
            if not self.hashed_files:
                self._make()
        return self.hashed_files  # type: ignore[no-any-return]

    def _make(self) -> None:
        originals = dict(_own_files())
        for name, (storage, path) in originals.items():
            with storage.open(path) as file:
                self.save(name, file)
        for name, _hashed, problem in self.post_process(originals):
            if isinstance(problem, Exception):
                raise ValueError(f"{name}: {problem}") from problem

    @cached_property
    def by_name(self) -> Mapping[str, HashedFile]:
        return {name: _read(self, name) for name in self.names.values()}

    def stored_name(self, name: str) -> str:
        return self.names.get(name, name)


def served_files() -> HashedFiles:
    """Returns the storage of this process, as settings.STORAGES names it."""
    return cast(HashedFiles, staticfiles_storage)


def plain_name(name: str) -> str:
    """Returns the name without a hash: pages of another version name files by theirs."""
    match = _HASHED.match(name)
    return match["stem"] + match["suffix"] if match else name


def _own_files() -> Iterator[tuple[str, tuple[FileSystemStorage, str]]]:
    """Yields names with storage and path of their files. Those without a suffix are licences."""
    for path, storage in FileSystemFinder().list([]):
        if not path.startswith(STABLE) and Path(path).suffix:
            yield path, (storage, path)


def _read(storage: HashedFiles, name: str) -> HashedFile:
    with storage.open(name) as file:
        content = file.read()
    compressed = gzip.compress(content, 9, mtime=0) if name.endswith(_TEXT) else None
    return HashedFile(content, compressed, _media_type(name))


def _media_type(name: str) -> str:
    if name.endswith((".js", ".mjs")):
        return "text/javascript"
    return guess_type(name)[0] or "application/octet-stream"
