"""`POST /v1/files`: multipart/form-data (RFC 7578), stored as it arrives.

Django's parser runs in a thread of its own, and waits there for the client; the parsed data are
encrypted and written. Memory holds a piece of the file and a few buffers, however large it is, and
counts in the budget of bytes that are not admitted yet.
"""

import asyncio
import time
import zlib
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.files.uploadhandler import FileUploadHandler, StopFutureHandlers
from django.http import QueryDict
from django.http.multipartparser import MultiPartParser, MultiPartParserError

from audit.keys.keyring import Barred, keyring
from inference.api.http.request import Request, unpacking
from inference.api.openai import stored_objects
from inference.api.openai.upload_slots import UploadPlaces
from inference.api.threads import Threads
from inference.batch.file_storage_limit import FileGone, StorageFull, TooManyFiles
from inference.batch.file_store import PIECE, FileOwner, FileWriter
from inference.errors import ApiError, BadRequest, Conflict, RequestTimeout, TooLarge
from inference.models import File, FilePurpose
from tenants.caller import Caller

AT_ONCE, OF_A_TENANT = 16, 4  # in a process
AROUND = 64 * 1024  # bytes of a body besides the file
LONGEST_NAME = 255
MEMORY = 2 * PIECE  # bytes of an upload that waits for its client: at most a piece, and buffers
UPLOADED = (FilePurpose.BATCH, FilePurpose.FINE_TUNE, FilePurpose.MODEL)  # purposes
_uploading = Threads(AT_ONCE, "upload")
# For work that may take as long as a file does, and waits for no client.
in_thread = Threads(4, "upload-acts").run
_places = UploadPlaces(AT_ONCE)


async def take(request: Request, caller: Caller) -> File:
    """Store an uploaded file. Raises ApiError, ReaderGone."""
    return await _take(request, caller, _Upload)


async def take_part(request: Request, caller: Caller, upload: File) -> File:
    """Store a part of an upload, from the field `data`. Raises ApiError, ReaderGone."""
    return await _take(request, caller, partial(_Part, upload))


async def _take(request: Request, caller: Caller, kind_of: Callable[..., "_Upload"]) -> File:
    most = settings.LARGEST_FILE_BYTES + AROUND
    declared = request.check_declared_length(most)
    kind = request.header(b"content-type")
    if not kind.lower().startswith("multipart/form-data"):
        raise BadRequest("send it as multipart/form-data, in the field `file` (of a part: `data`)")
    loop = asyncio.get_running_loop()
    body = _Body(request, loop, most, caller.tenant_id)
    owner = stored_objects.owner_of(caller, request.call.client_ip)
    async with counted(caller, body):
        await request.call.hold(_memory(request, declared))
        try:
            return await _uploading.run(kind_of(body, owner, kind).take)
        finally:
            body.give_way()  # or its thread would read on if only this task was cancelled


def _memory(request: Request, declared: int) -> int:
    """Returns the most bytes of an upload that are in memory at once."""
    has_known_length = declared and b"content-encoding" not in request.headers
    return min(declared, MEMORY) if has_known_length else MEMORY


def counted(caller: Caller, upload: "_Body | None" = None) -> AbstractAsyncContextManager[None]:
    """Hold a slot for work in one of the threads. Raises LimitReached, Unavailable."""
    return _places.slot(caller.tenant_id, OF_A_TENANT, upload)


class _Body:
    """The body as a file that a thread reads, decompressed if need be."""

    def __init__(
        self, request: Request, loop: asyncio.AbstractEventLoop, most: int, tenant_id: UUID
    ) -> None:
        self._request, self._loop, self._most = request, loop, most
        self.tenant_id, self.began, self.received = tenant_id, time.monotonic(), 0
        self._coming: Future[bytes] | None = None  # the next piece
        self._gives_way = False
        encoding = request.header(b"content-encoding")
        self._unpack = unpacking(encoding) if encoding else None
        self._read = 0

    def read(self, size: int) -> bytes:
        """Returns the next bytes, of a plain body any number: the parser asks again.

        Raises TooLarge, BadRequest, ReaderGone.
        """
        data = self._next() if self._unpack is None else self._unpacked(size)
        self._read += len(data)
        if self._read > self._most:
            raise TooLarge(f"a file has at most {settings.LARGEST_FILE_BYTES} bytes")
        return data

    def count_bytes(self, size: int) -> None:
        """Count bytes of the file before they are stored. Raises NotAdmitted."""
        counting = self._request.call.count_stored_bytes(size)
        asyncio.run_coroutine_threadsafe(counting, self._loop).result()

    def _unpacked(self, size: int) -> bytes:
        """Returns at most `size` bytes, also of a small piece (a zip bomb)."""
        assert self._unpack
        while not self._unpack.eof:
            packed = self._unpack.unconsumed_tail or self._next()
            if not packed:
                raise BadRequest("the compressed body breaks off")
            try:
                if data := self._unpack.decompress(packed, size):
                    return data
            except zlib.error as problem:
                raise BadRequest(f"the body is not what Content-Encoding says: {problem}") from None
        return b""

    def _next(self) -> bytes:
        """Returns the next bytes, b"" at the end. Raises ReaderGone, RequestTimeout."""
        piece = b""
        while not (piece or self._request.read_whole):
            piece = self._piece()
        return piece

    def _piece(self) -> bytes:
        try:
            if not self._gives_way:
                self._coming = asyncio.run_coroutine_threadsafe(self._request.piece(), self._loop)
            if self._gives_way or not self._coming:
                raise CancelledError
            piece = self._coming.result()
        except CancelledError:
            if not self._gives_way:
                raise
            message = "this upload came so slowly that it gave way to another; try again"
            raise RequestTimeout(message) from None
        self.received += len(piece)
        return piece

    def give_way(self) -> None:
        """End this upload for another. The loop calls it, a thread may be waiting."""
        self._gives_way = True
        if self._coming:
            self._coming.cancel()


class _Upload(FileUploadHandler):
    """Django's upload handler, and the file that it makes of the form."""

    chunk_size = 64 * 1024
    field = "file"

    def __init__(self, body: _Body, owner: FileOwner, kind: str) -> None:
        super().__init__()
        self._body, self._owner, self._kind = body, owner, kind
        self._writer: FileWriter | None = None

    def take(self) -> File:
        """Store the file. Raises ApiError, ReaderGone."""
        try:
            return self._stored()
        except BaseException as problem:
            if self._writer:
                self._writer.discard()
            raise self._as_error(problem) from None

    def _as_error(self, problem: BaseException) -> BaseException:
        if isinstance(problem, Barred | StorageFull | TooManyFiles):
            return stored_objects.storing_error(problem)
        return _gone(self._owner) if isinstance(problem, FileGone) else problem

    def _stored(self) -> File:
        fields = self._parsed()
        purpose = fields.get("purpose")
        if self.field in fields:
            raise BadRequest(f"`{self.field}` must be a file, with a name", param=self.field)
        stored_objects.check_known(fields, ("purpose", *stored_objects.FORM_FIELDS))
        if purpose not in UPLOADED:
            raise BadRequest("`purpose` must be batch, fine-tune or model", param="purpose")
        if self._writer is None:
            raise BadRequest("`file` is missing: send the file in this field", param="file")
        return self._writer.finish(
            stored_objects.expiry_in_form(fields), purpose=FilePurpose(str(purpose))
        )

    def _parsed(self) -> QueryDict:
        try:
            fields, _files = self._parser().parse()
        except (MultiPartParserError, SuspiciousOperation) as problem:
            raise BadRequest(f"the form cannot be read: {problem}") from None
        return fields

    def _parser(self) -> MultiPartParser:
        """Raises BadRequest, MultiPartParserError."""
        meta = {"CONTENT_TYPE": self._kind, "CONTENT_LENGTH": "1"}  # it reads to the end anyhow
        body: Any = self._body  # of which it needs `read` alone
        try:
            return MultiPartParser(meta, body, [self], "utf-8")
        except ValueError as problem:  # a parameter in a charset that nobody knows
            raise BadRequest(f"Content-Type cannot be read: {problem}") from None

    # As Django calls it ---------------------------------------------------------------------------
    def new_file(self, field_name: str, file_name: str, *args: Any, **kwargs: Any) -> None:
        if field_name != self.field or self._writer is not None:
            raise BadRequest(f"a form has one file, in the field `{self.field}`", param=field_name)
        self._writer = self._new_writer(file_name[:LONGEST_NAME])
        raise StopFutureHandlers

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        assert self._writer
        if start + len(raw_data) > settings.LARGEST_FILE_BYTES:
            raise TooLarge(f"a file has at most {settings.LARGEST_FILE_BYTES} bytes")
        self._writer.write(raw_data)

    def _new_writer(self, name: str, part_of: File | None = None) -> FileWriter:
        purpose = FilePurpose(part_of.purpose) if part_of else FilePurpose.BATCH
        write = partial(FileWriter, is_limited=True, count_bytes=self._body.count_bytes)
        return write(self._owner, purpose, name, part_of=part_of)

    def file_complete(self, file_size: int) -> None:
        return None


class _Part(_Upload):
    """A part of an upload."""

    field = "data"

    def __init__(self, upload: File, body: _Body, owner: FileOwner, kind: str) -> None:
        super().__init__(body, owner, kind)
        self._part_of = upload

    def _stored(self) -> File:
        stored_objects.check_known(self._parsed(), (), ", or no file with a name")
        if self._writer is None:
            raise BadRequest("`data` is missing: send the part in this field", param="data")
        return self._writer.finish_part()

    def _new_writer(self, name: str, part_of: File | None = None) -> FileWriter:
        return super()._new_writer("", self._part_of)  # its name is not stored


def _gone(owner: FileOwner) -> ApiError:
    """Returns the error of a file that was deleted during its upload."""
    try:
        keyring.of_subject_now(owner.tenant_id, owner.subject_id)
    except Barred as problem:
        return stored_objects.storing_error(problem)
    return Conflict("the file was deleted while it was uploaded: send it again", code="file_gone")
