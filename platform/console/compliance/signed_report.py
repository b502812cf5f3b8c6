"""Reports that the platform signs: their JSON, and pages of them.

JSON: {"body", "public_key", "key_id", "signature"}, Ed25519 over the line `forebay-report/1` and
the canonical body (audit/erasure/certificate.py has the same form). HTML: the same for people, to
be printed; it carries the signed JSON, and in its last line a signature over all before it.
"""

import base64
import json
from hashlib import sha256
from typing import Any

from audit.erasure.certificate import canonical
from audit.keys import signing
from audit.models import Checkpoint

FORMAT = "forebay-report/1"
PURPOSE, HTML_PURPOSE = "report", "report-html"
Report = dict[str, Any]


def signed(body: dict[str, Any]) -> Report:
    return {
        "body": body,
        "public_key": base64.b64encode(signing.public_key()).decode(),
        "key_id": signing.key_id(),
        "signature": base64.b64encode(signing.sign(canonical(body), PURPOSE)).decode(),
    }


def as_json(report: Report) -> bytes:
    return json.dumps(report, ensure_ascii=False, indent=1).encode() + b"\n"


def inside(report: Report) -> str:
    """Returns the report's JSON as it may stand in a page's script."""
    return json.dumps(report, ensure_ascii=True).replace("<", "\\u003c").replace("&", "\\u0026")


def signed_page(text: str) -> bytes:
    """Adds the last line, a signature over all before it."""
    html = text.encode()
    signature = base64.b64encode(signing.sign(html, HTML_PURPOSE)).decode()
    return html + f"<!-- forebay-report-html/1 {signing.key_id()} {signature} -->\n".encode()


def sha256_of(report: Report) -> str:
    return sha256(canonical(report["body"])).hexdigest()


def checkpoint() -> dict[str, Any] | None:
    newest = Checkpoint.objects.order_by("-n").first()
    if newest is None:
        return None
    root = bytes(newest.root).hex()
    return {"n": newest.n, "size": newest.size, "root": root, "at": newest.at.isoformat()}
