"""A client of a running platform's management API, with an operator's key or a tenant's.

FOREBAY_URL           where the platform is; default: FOREBAY_PUBLIC_URL, else http://localhost:8000
FOREBAY_OPERATOR_KEY  the key, or FOREBAY_OPERATOR_KEY_FILE; never an argument, which `ps` shows
FOREBAY_API_KEY       in its place: a tenant's key, for what belongs to the tenant
FOREBAY_TLS_CA        the authority behind an https URL, beside those of the system or SSL_CERT_FILE
"""

import http.client
import json
import ssl
import time
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from infrastructure import outgoing_tls

URL, KEY = "FOREBAY_URL", "FOREBAY_OPERATOR_KEY"
USUAL_URL = "http://localhost:8000"
PATIENCE_S = 60.0
LONGEST_WAIT_S, MOST_WAITS = 60, 3  # after a 429
_API = "/api/v1/"
OF_TENANT = "FOREBAY_API_KEY"
_MAKERS = {
    KEY: "an operator makes one in the console, under Operator keys",
    OF_TENANT: "a tenant makes one in the console, under API keys",
}
_BEGINS = {KEY: "sk-fbop-", OF_TENANT: "sk-fb-"}
Row = dict[str, Any]


class Trouble(Exception):
    """One line for a person: what is wrong, and what to do."""


class Misuse(Trouble):
    """A command line that cannot be run: exit code 2."""


class ApiAnswer(NamedTuple):
    status: int
    body: Any
    etag: str
    retry_after: str


class ApiClient:
    """A client. Each call has a connection of its own, as commands make few."""

    def __init__(
        self, variables: Mapping[str, str], *, in_clear: bool, key_name: str = KEY
    ) -> None:
        """Read key and URL; `in_clear`: the key may cross a network without TLS. Raises Misuse."""
        key, self._key_name = variables.get(key_name, "").strip(), key_name
        if not key:
            raise Misuse(f"set {key_name} or {key_name}_FILE: {_MAKERS[key_name]}")
        if not (key.isascii() and key.isprintable()):
            raise Misuse(f"{key_name} is no key: it begins with {_BEGINS[key_name]}")
        url = variables.get(URL) or variables.get("FOREBAY_PUBLIC_URL") or USUAL_URL
        parts = urlsplit(url)
        if "@" in parts.netloc:  # it would appear in messages, and be sent nowhere
            raise Misuse(f"{URL} takes no user name and no password: the key is enough")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Misuse(f"{URL} must be like https://forebay.example.com, not {url!r}")
        if parts.scheme == "http" and not (in_clear or _is_loopback(parts.hostname)):
            raise Misuse(
                f"{URL} is http: the key would cross the network in clear. Use https, or say "
                "--plain-http where nobody can listen"
            )
        self._url, self._key, self._parts = url.rstrip("/"), key, parts

    def get(self, path: str, **query: Any) -> ApiAnswer:
        """Send a GET.

        An empty parameter is sent, and refused: without it, every row would match.
        """
        parameters = {name: value for name, value in query.items() if value is not None}
        return self.send("GET", f"{path}?{urlencode(parameters)}" if parameters else path)

    def rows(self, path: str, **query: Any) -> Iterator[Row]:
        """Yield every row of a list, page after page."""
        cursor = None
        while True:
            page = self.get(path, **query, cursor=cursor).body
            if not all(isinstance(row, dict) for row in page["results"]):
                raise Trouble(f"{self._url} is no Forebay: its list holds no objects")
            yield from page["results"]
            cursor = page.get("next_cursor")
            if not cursor:
                return

    def send(self, method: str, path: str, body: Any = None, etag: str = "") -> ApiAnswer:
        """Send a request, again after a wait where the key has made too many calls.

        Raises Trouble.
        """
        for _ in range(MOST_WAITS):
            answer = self._answer(method, path, body, etag)
            wait = answer.retry_after
            if answer.status != 429 or not wait.isdecimal() or int(wait) > LONGEST_WAIT_S:
                break
            time.sleep(int(wait))
        if answer.status >= 300:
            raise Trouble(self._problem(answer))
        return answer

    def _answer(self, method: str, path: str, body: Any, etag: str) -> ApiAnswer:
        headers = {"Authorization": f"Bearer {self._key}", "Accept": "application/json"}
        headers |= {"If-Match": etag} if etag else {}
        headers |= {"Content-Type": "application/json"} if body is not None else {}
        text = None if body is None else json.dumps(body)
        connection = self._connection()
        try:
            connection.request(method, self._parts.path.rstrip("/") + _API + path, text, headers)
            answer = connection.getresponse()
            return self._read(answer, answer.read())
        except ssl.SSLCertVerificationError as problem:
            raise Trouble(
                f"the certificate of {self._url} is not trusted ({problem.verify_message}): name "
                "its authority's PEM file in FOREBAY_TLS_CA"
            ) from None
        except (OSError, http.client.HTTPException) as problem:
            why = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
            raise Trouble(f"{self._url} does not answer ({why}): is {URL} right?") from None
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=PATIENCE_S)
        try:
            trusted = outgoing_tls.context(host)
        except OSError as problem:
            raise Trouble(str(problem)) from None
        return http.client.HTTPSConnection(host, port, timeout=PATIENCE_S, context=trusted)

    def _read(self, answer: http.client.HTTPResponse, text: bytes) -> ApiAnswer:
        if 300 <= answer.status < 400:
            where = answer.headers.get("Location", "elsewhere")
            raise Trouble(f"{self._url} leads to {where}: set {URL} to where the platform is")
        try:
            body = json.loads(text) if text.strip() else None
        except ValueError:
            body = None
        if not isinstance(body, dict) and answer.status != 204:  # no Forebay answers so
            raise Trouble(f"{self._url} is no Forebay: it answers {answer.status} without JSON")
        headers = answer.headers
        return ApiAnswer(
            answer.status, body, headers.get("ETag", ""), headers.get("Retry-After", "")
        )

    def _problem(self, answer: ApiAnswer) -> str:
        problem = answer.body or {}
        fields = problem.get("errors")
        fields = fields if isinstance(fields, dict) else {}
        wrong = [f"{n + ': ' if n else ''}{' '.join(map(str, t))}" for n, t in fields.items()]
        text = "; ".join(wrong) or problem.get("detail") or f"it answers {answer.status}"
        if answer.status == 401:
            name = self._key_name
            wrong_key = f"{self._url} refuses the key in {name}, it is wrong or has ended"
            return f"{wrong_key}: {_MAKERS[name]}"
        if answer.status == 412:
            return f"{text} Run the command again."
        return str(text)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"  # some resolvers look up names below it in the network
