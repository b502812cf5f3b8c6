"""A bucket that speaks as much of S3 as backups need, and fails as it is told.

Requests must be signed (AWS Signature Version 4) with the right access key. The signature itself is
not computed again.
"""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

NAME, KEY_ID = "backups", "a-key-id"
_PAGE = 10  # names in an answer to a listing: S3 has 1,000
_CREDENTIAL = re.compile(rf"AWS4-HMAC-SHA256 Credential={KEY_ID}/")


@dataclass
class Bucket:
    objects: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)  # parts, not yet objects
    exists: bool = True
    refusals: int = 0  # how many of the next requests get 503
    stalls_s: float = 0.0  # before each answer
    no_room_after: int | None = None  # bytes
    requests: list[str] = field(default_factory=list)
    port: int = 0
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def variables(self) -> dict[str, str]:
        """Returns what an operator sets."""
        return {
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": "a-secret",
            "AWS_REGION": "eu-central-1",
            "AWS_ENDPOINT": f"http://127.0.0.1:{self.port}",
            "AWS_ALLOW_HTTP": "true",
        }

    def has_room(self, more: int) -> bool:
        parts = (len(part) for upload in self.uploads.values() for part in upload.values())
        used = sum(map(len, self.objects.values())) + sum(parts)
        return self.no_room_after is None or used + more <= self.no_room_after

    def new_upload(self) -> str:
        name = f"upload-{next(self._numbers)}"
        self.uploads[name] = {}
        return name


@contextmanager
def serving() -> Iterator[Bucket]:
    bucket = Bucket()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"bucket": bucket}))
    server.daemon_threads = True
    bucket.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=[0.05])
    thread.start()
    try:
        yield bucket
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    bucket: Bucket
    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing on the terminal."""

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (BrokenPipeError, ConnectionResetError):  # the client has given up
            self.close_connection = True

    def _begin(self) -> bool:
        """Read the request; return whether it is to be answered as it wishes."""
        parts = urlsplit(self.path)
        self.key = unquote(parts.path).removeprefix(f"/{NAME}").removeprefix("/")
        self.query = {k: v[0] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.bucket.requests.append(f"{self.command} {self.path}")
        time.sleep(self.bucket.stalls_s)
        if self.bucket.refusals:
            self.bucket.refusals -= 1
            self._error(503, "SlowDown", "Please reduce your request rate.")
        elif not _CREDENTIAL.match(self.headers.get("Authorization", "")):
            self._error(403, "InvalidAccessKeyId", "The access key does not exist.")
        elif not self.bucket.exists:
            self._error(404, "NoSuchBucket", "The specified bucket does not exist.")
        elif not self.bucket.has_room(len(self.body)):
            self._error(403, "QuotaExceeded", "The bucket's quota is used up.")
        else:
            return True
        return False

    def do_PUT(self) -> None:
        if not self._begin():
            return
        if upload := self.query.get("uploadId"):
            self.bucket.uploads[upload][int(self.query["partNumber"])] = self.body
        else:
            self.bucket.objects[self.key] = self.body
        self._answer(200, etag=_etag(self.body))

    def do_POST(self) -> None:
        if not self._begin():
            return
        if "uploads" in self.query:
            upload = self.bucket.new_upload()
            fields = f"<Bucket>{NAME}</Bucket><Key>{self.key}</Key><UploadId>{upload}</UploadId>"
            self._document("InitiateMultipartUploadResult", fields)
            return
        if "delete" in self.query:
            names = re.findall(r"<Key>(.*?)</Key>", self.body.decode())
            for name in names:
                self.bucket.objects.pop(unescape(name), None)
            rows = (f"<Deleted><Key>{name}</Key></Deleted>" for name in names)
            self._document("DeleteResult", "".join(rows))
            return
        parts = self.bucket.uploads.pop(self.query["uploadId"])
        self.bucket.objects[self.key] = b"".join(parts[number] for number in sorted(parts))
        etag = _etag(self.bucket.objects[self.key])
        fields = f"<Bucket>{NAME}</Bucket><Key>{self.key}</Key><ETag>{etag}</ETag>"
        self._document("CompleteMultipartUploadResult", fields)

    def do_DELETE(self) -> None:
        if self._begin():
            self.bucket.uploads.pop(self.query["uploadId"])
            self._answer(204)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if not self._begin():
            return
        if "list-type" in self.query:
            self._list()
        elif self.key not in self.bucket.objects:
            self._error(404, "NoSuchKey", "The specified key does not exist.")
        else:
            self._content(self.bucket.objects[self.key])

    def _content(self, content: bytes) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not wanted:
            self._answer(200, content, etag=_etag(content))
            return
        first, last = int(wanted[1]), min(int(wanted[2]), len(content) - 1)
        span = f"bytes {first}-{last}/{len(content)}"
        headers = {"Content-Range": span}
        self._answer(206, content[first : last + 1], etag=_etag(content), **headers)

    def _list(self) -> None:
        prefix, delimiter = self.query.get("prefix", ""), self.query.get("delimiter", "")
        after = self.query.get("continuation-token") or self.query.get("start-after", "")
        names = sorted(name for name in self.bucket.objects if name.startswith(prefix))
        folders = set()
        if delimiter:
            folders = {name[: name.index(delimiter, len(prefix)) + 1] for name in names}
            names = []
        names = [name for name in names if name > after]
        page, rest = names[:_PAGE], names[_PAGE:]
        rows = "".join(map(self._row, page))
        rows += "".join(
            f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>"
            for folder in sorted(folders)
        )
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if rest else ""
        truncated = f"<IsTruncated>{str(bool(rest)).lower()}</IsTruncated>"
        self._document("ListBucketResult", f"<Name>{NAME}</Name>{truncated}{token}{rows}")

    def _row(self, name: str) -> str:
        content = self.bucket.objects[name]
        return (
            f"<Contents><Key>{escape(name)}</Key><LastModified>2026-11-30T03:15:00.000Z"
            f"</LastModified><ETag>{_etag(content)}</ETag><Size>{len(content)}</Size></Contents>"
        )

    def _document(self, root: str, fields: str) -> None:
        self._answer(200, f'<?xml version="1.0"?><{root}>{fields}</{root}>'.encode())

    def _error(self, status: int, code: str, message: str) -> None:
        fields = f"<Code>{code}</Code><Message>{message}</Message>"
        self._answer(status, f'<?xml version="1.0"?><Error>{fields}</Error>'.encode())

    def _answer(self, status: int, content: bytes = b"", *, etag: str = "", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Last-Modified", "Mon, 30 Nov 2026 03:15:00 GMT")
        if etag:
            self.send_header("ETag", etag)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _etag(content: bytes) -> str:
    return f'"{md5(content, usedforsecurity=False).hexdigest()}"'
