"""Master keys in the transit engine of HashiCorp Vault or OpenBao, which they never leave.

FOREBAY_KMS_URL, FOREBAY_KMS_TOKEN (or _TOKEN_FILE, read at each call) and FOREBAY_KMS_KEY, the name
of a key of type aes256-gcm96; FOREBAY_KMS_MOUNT, "transit" by default; optionally
FOREBAY_KMS_NAMESPACE and FOREBAY_KMS_CA (a file). A new version of the key there is a new master
key here. Shapes: https://openbao.org/api-docs/secret/transit/
"""

import base64
import http.client
import json
import re
import ssl
import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from audit.keys.cipher import Unreadable, Wrapped
from audit.keys.master_keys.errors import MasterKeyAway, MasterKeyProblem
from infrastructure import outgoing_tls

PATIENCE_S = 3.0
TRIES = 3
LONGEST_ANSWER = 1024 * 1024
_VERSION = re.compile(r"^vault:v([0-9]{1,9}):")
_OVERHEAD = 12 + 16  # bytes of AES-256-GCM: the nonce, the tag
_FORGED = "message authentication failed"  # the text of Go's crypto/cipher, which both use


class KmsRefused(MasterKeyAway):
    """The KMS answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class KmsKeys:
    """One named key, each version of which is a master key."""

    def __init__(self, transit: "Transit", mount: str, name: str) -> None:
        self._transit, self._mount, self._name = transit, mount, name
        self._latest = 0  # the highest known version

    @classmethod
    def from_environment(cls, variables: Mapping[str, str], home: Path) -> "KmsKeys":
        needed = ("FOREBAY_KMS_URL", "FOREBAY_KMS_KEY")
        missing = [name for name in needed if not variables.get(name)]
        if missing:
            raise MasterKeyProblem(f"the master key is in a KMS, but {missing[0]} is not set")
        mount = variables.get("FOREBAY_KMS_MOUNT", "transit").strip("/")
        return cls(Transit(variables), mount, variables["FOREBAY_KMS_KEY"])

    def current_id(self) -> UUID:
        self._latest = int(self._ask("GET", "keys")["latest_version"])
        return self._id(self._latest)

    def knows(self, key_id: UUID) -> bool:
        if not self._is_ours(key_id):
            self.current_id()  # there may be newer versions
        return self._is_ours(key_id)

    def encrypt(self, key: bytes, aad: bytes) -> Wrapped:
        text = base64.b64encode(key).decode()
        ciphertext = self._ask("POST", "encrypt", plaintext=text, **_bound(aad))["ciphertext"]
        version = _VERSION.match(ciphertext)
        if not version:
            raise MasterKeyAway("the KMS answered with something that is not a ciphertext")
        self._latest = max(self._latest, int(version[1]))
        return Wrapped(self._id(int(version[1])), ciphertext.encode())

    def decrypt(self, key_id: UUID, ciphertext: bytes, aad: bytes) -> bytes:
        if not _is_whole(text := ciphertext.decode("ascii", "replace")):
            raise Unreadable("not wrapped by a KMS")
        try:
            answer = self._ask("POST", "decrypt", ciphertext=text, **_bound(aad))
        except KmsRefused as problem:
            if problem.status == 400 and _FORGED in str(problem):
                raise Unreadable(f"the KMS does not open it: {problem}") from None
            raise  # such as a version that its policy disallows, which an operator may allow again
        return base64.b64decode(answer["plaintext"])

    def renew(self) -> UUID:
        self._ask("POST", "keys", "/rotate")
        return self.current_id()

    def _ask(self, method: str, what: str, then: str = "", **body: str) -> dict[str, Any]:
        return self._transit.ask(method, f"{self._mount}/{what}/{self._name}{then}", body)

    def _id(self, version: int) -> UUID:
        text = f"forebay-kms/1\n{self._mount}/{self._name}\n{version}"
        return UUID(bytes=sha256(text.encode()).digest()[:16])

    def _is_ours(self, key_id: UUID) -> bool:
        return any(self._id(version) == key_id for version in range(1, self._latest + 1))


def _is_whole(text: str) -> bool:
    """Recognizes damaged ciphertexts here, because a KMS has many different errors for them."""
    version = _VERSION.match(text)
    try:
        ciphertext = base64.b64decode(text[version.end() :], validate=True) if version else b""
    except ValueError:
        return False
    return len(ciphertext) >= _OVERHEAD


def _bound(aad: bytes) -> dict[str, str]:
    return {"associated_data": base64.b64encode(aad).decode()}


# The client --------------------------------------------------------------------------------------
class Transit:
    """An HTTP client: one request, one answer, short timeouts."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        """Raises MasterKeyProblem."""
        names = ("TOKEN", "TOKEN_FILE", "NAMESPACE", "CA")
        values = [variables.get(f"FOREBAY_KMS_{name}", "") for name in names]
        self._token, self._token_file, self._namespace, ca = values
        if not self._token and not self._token_file:
            raise MasterKeyProblem(
                "the master key is in a KMS: set FOREBAY_KMS_TOKEN or FOREBAY_KMS_TOKEN_FILE"
            )
        try:
            parts = urlsplit(variables["FOREBAY_KMS_URL"])
            self._host, self._port = parts.hostname or "", parts.port
            self._base = parts.path.rstrip("/")
            if parts.scheme not in ("http", "https") or not self._host:
                raise MasterKeyProblem("FOREBAY_KMS_URL must begin with http:// or https://")
            self._context = _trusting(self._host, ca) if parts.scheme == "https" else None
        except (OSError, ValueError) as problem:
            raise MasterKeyProblem(f"FOREBAY_KMS_URL or FOREBAY_KMS_CA: {problem}") from None

    def ask(self, method: str, path: str, body: Mapping[str, str]) -> dict[str, Any]:
        """Returns the `data` of the answer. Raises MasterKeyAway, KmsRefused."""
        for attempt in range(1, TRIES + 1):
            try:
                return _data(*self._exchange(method, f"{self._base}/v1/{path}", body))
            except KmsRefused as problem:  # 5xx and 429: the KMS is sealed, starting or busy
                if attempt == TRIES or (problem.status < 500 and problem.status != 429):
                    raise
            except (OSError, http.client.HTTPException) as problem:
                if attempt == TRIES:
                    raise MasterKeyAway(f"the KMS does not answer: {problem!r}") from None
            time.sleep(0.1 * attempt)
        raise AssertionError("unreachable")

    def _exchange(self, method: str, path: str, body: Mapping[str, str]) -> tuple[int, bytes]:
        link = self._connection()
        try:
            text = json.dumps(dict(body)) if method == "POST" else None
            link.request(method, path, text, self._headers())
            answer = link.getresponse()
            return answer.status, answer.read(LONGEST_ANSWER)
        finally:
            link.close()

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._host, self._port
        if self._context is None:
            return http.client.HTTPConnection(host, port, timeout=PATIENCE_S)
        return http.client.HTTPSConnection(host, port, timeout=PATIENCE_S, context=self._context)

    def _headers(self) -> dict[str, str]:
        token = Path(self._token_file).read_text().strip() if self._token_file else self._token
        headers = {"X-Vault-Token": token, "Content-Type": "application/json"}
        return {**headers, **({"X-Vault-Namespace": self._namespace} if self._namespace else {})}


def _trusting(host: str, ca: str) -> ssl.SSLContext:
    """Trusts FOREBAY_KMS_CA if it is set, else the usual authorities. Raises OSError."""
    if not ca:
        return outgoing_tls.context(host)
    context = ssl.create_default_context(cafile=ca)
    context.minimum_version = outgoing_tls.oldest()
    return context


def _data(status: int, body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body or b"{}")
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise KmsRefused(502, "the KMS did not answer in JSON")
    if status >= 300:
        errors = "; ".join(map(str, answer.get("errors") or [])) or "no reason given"
        raise KmsRefused(status, f"the KMS answered {status}: {errors}"[:300])
    return dict(answer.get("data") or {})
