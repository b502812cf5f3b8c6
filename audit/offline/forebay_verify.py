#!/usr/bin/env python3
"""Verifies Forebay's exports, receipts, certificates and reports, without Forebay.

One file. It needs Python 3.11 or newer and the package `cryptography`, and no network.

    python forebay_verify.py export audit.jsonl --public-key KEY --checkpoint-witness heard.jsonl
    python forebay_verify.py receipt 'eyJyZXF1ZXN0X2lkIjoi…' --export audit.jsonl
    python forebay_verify.py certificate certificate.json
    python forebay_verify.py report report.html --public-key KEY

KEY is the platform's Ed25519 public key in base64 (or a file of it), from somebody you trust.
Without KEY the file is verified with its own key; anybody can write such a file, so the verdict is
never "as it was sealed". The exit code is 0 if all is as it was sealed, 1 with findings, 2 if the
input cannot be read, and 3 if there are no findings but no key was named.

Hashes are SHA-256, trees those of RFC 6962, signatures Ed25519 over a first line that names what
is signed (`forebay-checkpoint/1`), then the body.
"""

import argparse
import base64
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, Protocol
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FORMAT = "forebay-export/1"
WAITS_US = 60_000_000  # the longest that an event may be unsealed
DAY_US = 86_400_000_000
FLOOR_US = 184 * DAY_US  # nothing younger is ever dropped, by law
LATE_US = 31 * DAY_US  # the longest that a sealer may have been away
SHOWN = 200
KNOWN = "checkpoints that the witness knows"
ZERO = bytes(32)
UNREADABLE = (
    *(KeyError, ValueError, TypeError, AttributeError, OverflowError, IndexError),
    RecursionError,  # lists within lists, thousands deep
)


class Broken(ValueError):
    """The file is not what it claims to be, so that verification cannot continue."""


class Lines(Protocol):
    """A file by its path, or whatever else can be read line by line, more than once."""

    def open(self, mode: Literal["rb"]) -> AbstractContextManager[Iterable[bytes]]: ...


class Result:
    def __init__(self) -> None:
        self.findings: list[str] = []
        self.notes: list[str] = []
        self.figures: dict[str, int] = {}
        self.facts: list[str] = []  # the document's contents
        self.own_key = ""  # the document's own key, if it was verified without a trusted one

    @property
    def ok(self) -> bool:
        return not self.findings and not self.own_key

    @property
    def exit_code(self) -> int:
        return 1 if self.findings else 3 if self.own_key else 0

    def add(self, finding: str) -> None:
        self.findings.append(finding)

    def count(self, what: str, number: int = 1) -> None:
        self.figures[what] = self.figures.get(what, 0) + number

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "own_key": self.own_key or None,
            "found": len(self.findings),
            "figures": self.figures,
            "facts": self.facts,
            "notes": self.notes,
            "findings": self.findings[:SHOWN],
        }

    def __str__(self) -> str:
        figures = ", ".join(f"{number} {what}" for what, number in self.figures.items() if number)
        lines = [figures, *self.facts, *(f"note: {note}" for note in self.notes)]
        lines += [f"FOUND {finding}" for finding in self.findings[:SHOWN]]
        return "\n".join([*map(printable, lines), self._verdict()])

    def _verdict(self) -> str:
        if self.findings:
            return f"{len(self.findings)} findings."
        if not self.own_key:
            return "All is as it was sealed."
        return (
            "It holds together, but NOBODY VOUCHES FOR IT: the public key is the file's own, and "
            f"anybody can write such a file.\n{self.own_key}\nCompare it with the platform's key "
            "that you got elsewhere, and name that: --public-key KEY"
        )


def printable(text: str) -> str:
    """Returns it on one line: control characters could hide findings in a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


# Hashes and signatures ---------------------------------------------------------------------------
def leaf_of(line: bytes) -> bytes:
    return sha256(b"\x00" + line).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def root_of(leaves: Sequence[bytes]) -> bytes:
    level = list(leaves)
    while len(level) > 1:
        above = [_node(*pair) for pair in zip(level[::2], level[1::2], strict=False)]
        level = above + ([level[-1]] if len(level) % 2 else [])
    return level[0] if level else sha256(b"").digest()


def is_in(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Verifies an inclusion proof (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    position, last, computed = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if position % 2 or position == last:
            computed = _node(sibling, computed)
            while position and not position % 2:
                position, last = position >> 1, last >> 1
        else:
            computed = _node(computed, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and computed == root


def seal_hash(seal: dict[str, Any]) -> bytes:
    """Returns a seal's hash. Seals of earlier versions do not include the tenant's retention."""
    days = seal.get("retention_days")
    return sha256(
        (b"forebay-seal/2\n" if days is None else b"forebay-seal/3\n")
        + UUID(seal["tenant_id"]).bytes
        + seal["batch"].to_bytes(8, "big")
        + seal["first_seq"].to_bytes(8, "big")
        + seal["size"].to_bytes(4, "big")
        + seal["first_at_us"].to_bytes(8, "big", signed=True)
        + seal["last_at_us"].to_bytes(8, "big", signed=True)
        + bytes.fromhex(seal["root"])
        + bytes.fromhex(seal["previous"])
        + seal["sealed_at_us"].to_bytes(8, "big", signed=True)
        + (b"" if days is None else days.to_bytes(4, "big"))
    ).digest()


def checkpoint_text(checkpoint: dict[str, Any]) -> bytes:
    words = ("n", "size", "root", "previous", "at_us")
    return "".join(f"{checkpoint[word]}\n" for word in words).encode()


def canonical(body: dict[str, Any]) -> bytes:
    """Returns JSON in its signed form: keys sorted, no spaces."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def key_id(key: bytes) -> str:
    return sha256(key).hexdigest()[:32]


class Keys:
    """Trusted public keys by their id."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {key_id(key): key for key in keys}

    def problem(self, first_line: str, body: bytes, signature: str, by: str) -> str:
        """Returns what is wrong with a signature, or "" if a trusted key made it."""
        key = self._keys.get(by)
        if key is None:
            return f"is signed with a key that is not trusted ({by})"
        try:
            raw, text = base64.b64decode(signature, validate=True), f"{first_line}\n".encode()
            Ed25519PublicKey.from_public_bytes(key).verify(raw, text + body)
        except (InvalidSignature, ValueError):
            return "has a wrong signature"
        return ""


# Exports -----------------------------------------------------------------------------------------
def verify_export(
    path: Lines, keys: Sequence[bytes] | None = None, witnesses: Sequence[Lines] = ()
) -> Result:
    """Verifies an export. `keys`: raw public keys. Raises OSError, and Broken for another file."""
    result = Result()
    header, manifest, digest = _ends(path)
    if keys is None:
        keys, result.own_key = _own_keys(manifest), str(manifest["public_key"])
    export = _Export(header, Keys(keys), _read_witnesses(witnesses), result)
    for number, record in enumerate(_records(path), 1):
        export.take(number, record)
    export.end(manifest, digest)
    if witnesses and result.figures.get("checkpoints") and not result.figures.get(KNOWN):
        result.add("the witness knows none of the checkpoints")
    return result


def _ends(path: Lines) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Returns the first and the last line, and the hash of everything before the last."""
    digest, first, last = sha256(), b"", b""
    with path.open("rb") as file:
        for line in file:
            digest.update(last)
            first, last = first or line, line
    header, manifest = _parsed(first), _parsed(last)
    if header.get("type") != "header" or header.get("format") != FORMAT:
        raise Broken("this is no export of Forebay's audit trail")
    if manifest.get("type") != "manifest":
        raise Broken("the export is cut off: its last line is no manifest")
    return header, manifest, digest.hexdigest()


def _own_keys(manifest: dict[str, Any]) -> list[bytes]:
    """Returns the installation's key, and its former ones."""
    older = manifest.get("public_keys_old") or []
    return [_own_key(manifest), *(_own_key({"public_key": key}) for key in older)]


def _own_key(document: dict[str, Any]) -> bytes:
    """Returns the public key in the document itself."""
    try:
        key = base64.b64decode(document["public_key"], validate=True)
    except (KeyError, ValueError, TypeError):
        key = b""
    if len(key) != 32:
        raise Broken("it has no public key of its own: name one")
    return key


def _records(path: Lines) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        yield from map(_parsed, file)


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line, object_pairs_hook=_once)
    except (ValueError, RecursionError) as problem:
        raise Broken(f"a line is no JSON: {problem}") from None
    if not isinstance(record, dict):
        raise Broken("a line is no object")
    return record


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuses names that occur twice, of which different parsers would see different values."""
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return record


class _Export:
    """Verifies an export line by line: a checkpoint before its seals, a seal before its events."""

    def __init__(
        self, header: dict[str, Any], keys: Keys, witnessed: dict[int, bytes], result: Result
    ) -> None:
        self._header, self._keys, self._witnessed, self._result = header, keys, witnessed, result
        self._newest_witnessed = max(witnessed, default=0)
        self._checkpoints: dict[int, dict[str, Any]] = {}
        self._seal: dict[str, Any] | None = None
        self._leaves: list[bytes] = []
        self._next = 0  # the first position in the batch at which an event may follow
        self._missing = 0  # events of complete batches that are not in the file
        self._dropped: set[str] = set()  # months that seals name as dropped
        self._whole: set[str] = set()  # months of batches without dropped events
        self._retention = _Retention()

    def take(self, number: int, record: dict[str, Any]) -> None:
        kind = record.get("type")
        try:
            if kind == "checkpoint":
                self._take_checkpoint(record)
            elif kind == "seal":
                self._take_seal(record)
            elif kind == "event":
                self._take_event(record)
            elif kind not in ("header", "manifest"):
                self._result.count("lines of other kinds")
        except UNREADABLE as problem:
            self._result.add(f"line {number} cannot be read: {problem!r}")

    def _take_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        n, text = checkpoint["n"], checkpoint_text(checkpoint)
        self._result.count("checkpoints")
        args = (text, checkpoint["signature"], checkpoint["key_id"])
        if problem := self._keys.problem("forebay-checkpoint/1", *args):
            self._result.add(f"checkpoint {n} {problem}")
        before = self._checkpoints.get(n - 1)
        digest = before and sha256(b"forebay-checkpoint/1\n" + checkpoint_text(before)).hexdigest()
        if before and checkpoint["previous"] != digest:
            self._result.add(f"checkpoint {n} does not hold on to the one before")
        if n in self._witnessed and self._witnessed[n] != text:
            self._result.add(f"the witness knows another checkpoint {n}")
        elif n not in self._witnessed and n < self._newest_witnessed:
            self._result.add(f"the witness does not know checkpoint {n}, but later ones")
        self._result.count(KNOWN, n in self._witnessed)
        self._checkpoints = {n: checkpoint, **({n - 1: before} if before else {})}

    def _take_seal(self, seal: dict[str, Any]) -> None:
        self._end_batch()
        self._result.count("seals")
        packed = base64.b64decode(seal["leaves"])
        self._leaves = [packed[at : at + 32] for at in range(0, len(packed), 32)]
        for check in (
            self._check_leaves,
            self._check_checkpoint,
            self._check_position,
            self._check_months,
        ):
            for problem in check(seal):
                self._result.add(f"seal {seal['batch']} {problem}")
        self._retention.take(seal)
        self._seal, self._next = seal, 0

    def _check_leaves(self, seal: dict[str, Any]) -> Iterator[str]:
        if seal.get("dropped") and not self._leaves:
            if not all(month in seal["dropped"] for month in _months(seal)):
                yield "lacks its events, of which only some were dropped"
            return
        if len(self._leaves) != seal["size"]:
            yield "does not have as many events as it says"
        if root_of(self._leaves).hex() != seal["root"]:
            yield "is the root of other events"

    def _check_checkpoint(self, seal: dict[str, Any]) -> Iterator[str]:
        checkpoint = self._checkpoints.get(seal["checkpoint"])
        path = [bytes.fromhex(text) for text in seal["path"]]
        hash_ = seal_hash(seal)
        if checkpoint is None:
            yield "has no checkpoint"
        elif not is_in(
            hash_, seal["position"], seal["of"], path, bytes.fromhex(checkpoint["root"])
        ):
            yield f"is not under checkpoint {seal['checkpoint']}"
        if seal["tenant_id"] != self._header["tenant_id"]:
            yield "is another tenant's"

    def _check_position(self, seal: dict[str, Any]) -> Iterator[str]:
        before, complete = self._seal, self._header["complete"]
        if before and seal["batch"] == before["batch"] + 1:
            if seal["previous"] != seal_hash(before).hex():
                yield "does not hold on to the one before"
            if seal["first_seq"] != before["first_seq"] + before["size"]:
                yield "leaves a gap after the one before"
        elif before and (complete or seal["batch"] <= before["batch"]):
            yield f"follows {before['batch']}: something is missing, or twice"
        elif before is None and complete and seal["batch"] != 1 and not self._is_earlier(seal):
            yield "is the first one here: what was before it is missing"
        if seal["batch"] == 1 and (seal["first_seq"], seal["previous"]) != (1, ZERO.hex()):
            yield "is not how a trail begins"

    def _is_earlier(self, seal: dict[str, Any]) -> bool:
        since = self._header["since_us"]
        return since is not None and bool(seal["last_at_us"] < since)

    def _check_months(self, seal: dict[str, Any]) -> Iterator[str]:
        """Checks that events were sealed while new, and dropped half a year later or more."""
        dropped, months = set(seal.get("dropped", ())), set(_months(seal))
        self._dropped |= dropped
        if not dropped:
            self._whole |= months
            return
        newest = self._header["made_at_us"] - FLOOR_US
        sealed_at = seal["sealed_at_us"]
        late = not seal["last_at_us"] - DAY_US <= sealed_at <= seal["first_at_us"] + LATE_US
        if not dropped <= months or late or sealed_at > newest:
            yield "cannot have lost its events to retention"
        if any(_end_us(month) > newest for month in dropped):
            yield "names a month that is too young to be dropped"

    def _take_event(self, event: dict[str, Any]) -> None:
        self._result.count("events")
        line: str = event["line"]
        if event["batch"] is None:
            self._result.count("not yet sealed")
            if self._header["made_at_us"] - json.loads(line)[4] > WAITS_US:
                self._result.add("an event had no seal, long after it was written")
            return None
        seal, seq = self._seal, event["seq"]
        if seal is None or seal["batch"] != event["batch"]:
            return self._result.add(f"event {seq} stands under no seal")
        position = seq - seal["first_seq"]
        if not self._next <= position < len(self._leaves):
            return self._result.add(f"event {seq} stands in the wrong place, or twice")
        self._missing += position - self._next
        self._next = position + 1
        if leaf_of(line.encode()) != self._leaves[position]:
            self._result.add(f"event {seq} is not what was sealed")
        if "dropped" in seal and f"{_moment(json.loads(line)[4]):%Y-%m}" in seal["dropped"]:
            self._result.add(f"event {seq} is here, and its month is said to be dropped")
        return None

    def _end_batch(self) -> None:
        if self._seal is None:
            return
        missing, self._missing = self._missing + len(self._leaves) - self._next, 0
        if self._seal.get("dropped"):
            dropped = missing if self._leaves else self._seal["size"]
            self._result.count("events that went with their months, or beside them", dropped)
            return
        self._result.count("events beside them, of which only the hash is here", missing)
        if missing and self._header["complete"] and self._lies_inside(self._seal):
            self._result.add(f"{missing} events of seal {self._seal['batch']} are missing")

    def _lies_inside(self, seal: dict[str, Any]) -> bool:
        since, until = self._header["since_us"], self._header["until_us"]
        return (since is None or seal["first_at_us"] >= since) and (
            until is None or seal["last_at_us"] < until
        )

    def _check_end(self) -> None:
        head, seal, until = self._header["head"], self._seal, self._header["until_us"]
        for n, text in self._witnessed.items():
            age_us = self._header["made_at_us"] - int(text.split()[-1])
            if n > head["checkpoint"] and age_us > WAITS_US:
                self._result.add(f"the witness knew checkpoint {n} before this was made")
        if not self._header["complete"]:
            return
        reaches_head = (seal["batch"] if seal else 0) == head["batch"]
        if reaches_head:
            if head["checkpoint"] and head["checkpoint"] not in self._checkpoints:
                self._result.add(f"checkpoint {head['checkpoint']}, the newest, is missing")
            if head["broken"] is not None:
                self._result.add(f"the trail was not whole at checkpoint {head['broken']}")
        elif seal is None or until is None or seal["first_at_us"] < until:
            self._result.add(f"not all seals up to {head['batch']} are here")
        made_at_us = self._header["made_at_us"] if reaches_head else None
        for batch in self._retention.too_early(made_at_us):
            self._result.add(f"seal {batch} lost its events before its tenant's retention ran out")
        for month in sorted(self._dropped & self._whole):
            self._result.add(f"{month} is said to be dropped, but some of it was not")

    def end(self, manifest: dict[str, Any], digest: str) -> None:
        try:
            self._end_batch()
            self._check_end()
        except UNREADABLE as error:
            self._result.add(f"the header cannot be read: {error!r}")
        body = {name: value for name, value in manifest.items() if name != "signature"}
        signed = canonical(body), str(manifest.get("signature")), str(manifest.get("key_id"))
        if problem := self._keys.problem(FORMAT, *signed):
            self._result.add(f"the manifest {problem}")
        if manifest.get("sha256") != digest:
            self._result.add("the file is not the one that the manifest was made for")
        for kind in ("events", "seals", "checkpoints"):
            if manifest.get(kind) != self._result.figures.get(kind, 0):
                self._result.add(f"the manifest counts other {kind}")


class _Retention:
    """The tenant's retention according to its seals, and batches dropped despite it."""

    def __init__(self) -> None:
        self._dropped: list[tuple[int, int, int]] = []  # batch, its last event's time, its span
        self._spans: list[tuple[int, int]] = []  # days, and the end of their time in force

    def take(self, seal: dict[str, Any]) -> None:
        days, at = seal.get("retention_days", 0), seal["sealed_at_us"]
        if self._spans:
            self._spans[-1] = (self._spans[-1][0], at)
        if not self._spans or self._spans[-1][0] != days:
            self._spans.append((days, at))
        if seal.get("dropped"):
            self._dropped.append((seal["batch"], seal["last_at_us"], len(self._spans) - 1))

    def too_early(self, now: int | None) -> Iterator[int]:
        """Yields batches dropped before any retention in force since allowed it.

        `now`: the present, if the last seal here is the tenant's newest; else None, because the
        retention after that seal is unknown.
        """
        if now is None or not self._dropped:
            return
        self._spans[-1] = (self._spans[-1][0], now)
        for batch, at, span in self._dropped:
            spans = self._spans[span:]
            if not any(until - at >= max(FLOOR_US, days * DAY_US) for days, until in spans):
                yield batch


def _months(seal: dict[str, Any]) -> Iterator[str]:
    """Yields the months of its events, as 2026-01."""
    day, last = _moment(seal["first_at_us"]).replace(day=1), _moment(seal["last_at_us"])
    while day <= last:
        yield f"{day:%Y-%m}"
        day = (day + timedelta(days=31)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _end_us(month: str) -> int:
    begins = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    ends = (begins + timedelta(days=31)).replace(day=1)
    return int(ends.timestamp()) * 1_000_000


def _moment(at_us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)


def _read_witnesses(witnesses: Sequence[Lines]) -> dict[int, bytes]:
    checkpoints: dict[int, bytes] = {}
    for path in witnesses:
        with path.open("rb") as file:
            for line in file:
                try:
                    checkpoint = json.loads(line)
                    text = checkpoint_text({**checkpoint, "at_us": int(checkpoint["at_us"])})
                    checkpoints.setdefault(int(checkpoint["n"]), text)
                except UNREADABLE:
                    continue  # a line that was cut off; the checkpoint follows once more
    return checkpoints


# Receipts and certificates -----------------------------------------------------------------------
def read_receipt(text: str) -> dict[str, Any]:
    """Returns the header's value. Raises Broken."""
    try:
        receipt = json.loads(base64.b64decode(text.strip(), validate=True))
        words = ("request_id", "leaf", "at", "key_id", "sig")
        return {word: receipt[word] for word in words}
    except (ValueError, KeyError, TypeError):
        raise Broken("this is no receipt") from None


def receipt_text(receipt: dict[str, Any]) -> bytes:
    return "{request_id}\n{leaf}\n{at}\n".format(**receipt).encode()


def verify_receipt(
    text: str,
    keys: Sequence[bytes] | None = None,
    export: Path | None = None,
    witnesses: Sequence[Path] = (),
) -> Result:
    """Verifies a receipt, and with an export that the request is in it, under a seal."""
    receipt, result = read_receipt(text), Result()
    if export:
        result = verify_export(export, keys, witnesses)
        keys = keys or _own_keys(_ends(export)[1])
    args = (receipt_text(receipt), str(receipt["sig"]), str(receipt["key_id"]))
    if problem := Keys(keys or ()).problem("forebay-receipt/1", *args):
        result.add(f"the receipt {problem}")
    result.count("receipts")
    if export and not any(receipt["leaf"] in _leaves_in(record) for record in _records(export)):
        result.add(f"request {receipt['request_id']} is under no seal of this export")
    return result


def _leaves_in(record: dict[str, Any]) -> set[str]:
    if record.get("type") != "seal":
        return set()
    packed = base64.b64decode(str(record.get("leaves"))).hex()
    return {packed[at : at + 64] for at in range(0, len(packed), 64)}


CERTIFICATE = "forebay-certificate/1"
_FACTS = ("tenant", "request", "subject", "mode", "finished_at", "issued_at", "made_at", "blockers")


def verify_document(
    document: dict[str, Any], keys: Sequence[bytes] | None = None, kind: str = CERTIFICATE
) -> Result:
    """Verifies a certificate of erasure, or another `kind` of document with body and signature."""
    result = Result()
    try:
        body, signature, by = document["body"], str(document["signature"]), str(document["key_id"])
        first_line = str(body["format"])
        if keys is None:
            keys, result.own_key = [_own_key(document)], str(document["public_key"])
    except (KeyError, TypeError, ValueError):
        raise Broken("this is no signed document") from None
    if not first_line.startswith("forebay-"):
        raise Broken("this is no document of Forebay's")
    if more := sorted(set(document) - {"body", "public_key", "key_id", "signature"}):
        result.add(f"nobody signed what stands beside the document: {', '.join(map(repr, more))}")
    # What was verified, in case the file shows something else.
    facts = [name for name in _FACTS if name in body]
    result.facts = [f"{name}: {json.dumps(body[name], ensure_ascii=False)}" for name in facts]
    if first_line != kind:
        result.add(f"this is another kind of document: {first_line}, not {kind}")
    result.count("documents")
    if problem := Keys(keys).problem(first_line, canonical(body), signature, by):
        result.add(f"the document {problem}")
    return result


# Reports -----------------------------------------------------------------------------------------
REPORT, PRINTED = "forebay-report/1", "forebay-report-html/1"
_INSIDE = re.compile(rb'<script type="application/json" id="forebay-report">(.*?)</script>', re.S)
_LAST = re.compile(rb"<!-- forebay-report-html/1 (\w+) ([\w+/=]+) -->\s*\Z")


def verify_report(raw: bytes, keys: Sequence[bytes] | None = None) -> Result:
    """Verifies a compliance report: JSON, or the printable page, which contains the JSON."""
    is_page = raw.lstrip()[:1] == b"<"
    inside = _INSIDE.search(raw) if is_page else None
    if is_page and inside is None:
        raise Broken("no signed report is inside")
    report = _parsed(inside[1] if inside else raw)
    result = verify_document(report, keys, REPORT)
    if is_page:
        _verify_page(raw, keys or [base64.b64decode(report["public_key"])], result)
    return result


def _verify_page(raw: bytes, keys: Sequence[bytes], result: Result) -> None:
    last = _LAST.search(raw)
    if last is None:
        result.add("the page is not signed to its end")
        return
    by, signature = last[1].decode(), last[2].decode()
    if problem := Keys(keys).problem(PRINTED, raw[: last.start()], signature, by):
        result.add(f"the page {problem}")


# The command -------------------------------------------------------------------------------------
def _key(text: str) -> bytes:
    """Reads a public key from text or a file. Raises Broken."""
    path = Path(text)
    try:
        words = path.read_text() if path.is_file() else text
        key = base64.b64decode(words.strip(), validate=True)
    except (ValueError, OSError):
        key = b""
    if len(key) != 32:
        raise Broken("a public key is 32 bytes in base64, or a file of that")
    return key


def _run(options: argparse.Namespace) -> Result:
    keys = [_key(text) for text in options.public_key] or None
    witnesses = [Path(name) for name in options.witness]
    if options.what == "export":
        return verify_export(Path(options.file), keys, witnesses)
    if options.what == "report":
        return verify_report(Path(options.file).read_bytes(), keys)
    if options.what == "certificate":
        return verify_document(_parsed(Path(options.file).read_bytes()), keys)
    path = Path(options.file)
    text = path.read_text() if len(options.file) < 200 and path.is_file() else options.file
    export = Path(options.export) if options.export else None
    if keys is None and export is None:
        raise Broken("a receipt needs --public-key")
    return verify_receipt(text, keys, export, witnesses)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("what", choices=("export", "receipt", "certificate", "report"))
    parser.add_argument("file", help="a file; a receipt also by itself")
    parser.add_argument("--public-key", action="append", default=[], metavar="KEY")
    parser.add_argument("--checkpoint-witness", dest="witness", action="append", default=[])
    parser.add_argument("--export", help="in which the receipt's request must be")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    try:
        result = _run(options)
    except (OSError, *UNREADABLE) as problem:
        print(f"cannot verify: {problem}", file=sys.stderr)  # noqa: T201
        return 2
    print(json.dumps(result.as_json()) if options.json else result)  # noqa: T201
    return result.exit_code


if __name__ == "__main__":
    sys.exit(main())
