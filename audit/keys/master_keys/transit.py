"""HTTP client of Vault and OpenBao: one request, one answer, short timeouts."""

import http.client
import json
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from audit.keys.master_keys.keeper import MasterKeyAway, MasterKeyProblem
from infrastructure import outgoing_tls

PATIENCE_S = 3.0
TRIES = 3
LONGEST_ANSWER = 1024 * 1024


class Refused(MasterKeyAway):
    """The KMS answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Transit:
    def __init__(self, url: str, token: str, *, token_file: str, namespace: str, ca: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise MasterKeyProblem("FOREBAY_KMS_URL must begin with http:// or https://")
        self._host, self._port = parts.hostname, parts.port
        self._base, self._tls = parts.path.rstrip("/"), parts.scheme == "https"
        self._token, self._token_file, self._namespace = token, token_file, namespace
        self._context = _trusting(parts.hostname, ca) if self._tls else None

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> "Transit":
        token, file = (variables.get(f"FOREBAY_KMS_TOKEN{end}", "") for end in ("", "_FILE"))
        if not token and not file:
            raise MasterKeyProblem(
                "the master key is in a KMS: set FOREBAY_KMS_TOKEN or FOREBAY_KMS_TOKEN_FILE"
            )
        namespace, ca = (variables.get(f"FOREBAY_KMS_{name}", "") for name in ("NAMESPACE", "CA"))
        url = variables["FOREBAY_KMS_URL"]
        try:
            return cls(url, token, token_file=file, namespace=namespace, ca=ca)
        except (OSError, ValueError) as problem:
            raise MasterKeyProblem(f"FOREBAY_KMS_URL or FOREBAY_KMS_CA: {problem}") from None

    def ask(self, method: str, path: str, body: Mapping[str, str]) -> dict[str, Any]:
        """Returns the `data` of the answer. Raises MasterKeyAway, Refused."""
        for attempt in range(1, TRIES + 1):
            try:
                return _data(*self._exchange(method, f"{self._base}/v1/{path}", body))
            except Refused as problem:  # 5xx and 429: the KMS is sealed, starting or busy
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
        if self._context:
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=PATIENCE_S, context=self._context
            )
        return http.client.HTTPConnection(self._host, self._port, timeout=PATIENCE_S)

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
        raise Refused(502, "the KMS did not answer in JSON")
    if status >= 300:
        errors = "; ".join(map(str, answer.get("errors") or [])) or "no reason given"
        raise Refused(status, f"the KMS answered {status}: {errors}"[:300])
    return dict(answer.get("data") or {})
