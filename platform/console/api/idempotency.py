"""`Idempotency-Key`: the same POST sent twice is done once, and answered the same both times.

The answer is stored in the transaction of the act, encrypted: it may hold a key's text. A refused
act stores nothing, so that it can be tried again.
"""

import hmac
from hashlib import sha256
from uuid import UUID, uuid5

import msgspec
import orjson
from django.db import connection
from django.http import HttpResponse
from django.utils.translation import gettext as _
from rest_framework.request import Request

from audit.keys.keyring import Unreadable, keyring
from console.api.problem import Problem, bad_request
from console.api.strict_input import JSONRenderer, as_json
from tenants.models import IdempotentRequest, Tenant

HEADER = "Idempotency-Key"
LONGEST = 255
KEPT_HEADERS = ("ETag", "Location")
PLATFORM = UUID(int=0)  # its key encrypts answers that belong to no tenant


def idempotent_call(request: Request, tenant: Tenant | None, actor: str) -> "IdempotentCall | None":
    key = request.headers.get(HEADER) if request.method == "POST" else None
    return None if key is None else IdempotentCall(request, tenant, actor, key)


class _Answer(msgspec.Struct):
    status: int
    headers: dict[str, str]
    body: msgspec.Raw


class IdempotentCall:
    """A POST with an idempotency key, whose answer is stored and repeated."""

    def __init__(self, request: Request, tenant: Tenant | None, actor: str, key: str) -> None:
        if not key or len(key) > LONGEST or not key.isascii() or not key.isprintable():
            raise bad_request({HEADER: [_("Send 1 to 255 printable ASCII characters.")]})
        self._tenant, self._actor, self._key = tenant, actor, key
        self._route = f"{request.method} {request.path}"[:200]
        self._body = sha256(as_json(request.data)).digest()
        self._cipher = keyring.of_subject_now(tenant.id if tenant else PLATFORM, None)

    @property
    def id(self) -> UUID:
        """Returns what names the request for an act that its transaction cannot undo."""
        name = orjson.dumps([self._actor, self._route, self._key, self._body.hex()])
        return uuid5(PLATFORM, name.decode())

    def earlier_answer(self) -> HttpResponse | None:
        """Returns the stored answer. Locks the key until the transaction ends. Raises Problem."""
        self._lock()
        same = {"actor": self._actor, "route": self._route, "key": self._key}
        rows = IdempotentRequest.objects.filter(**same)
        rows.over().delete()
        row = rows.first()
        if row is None:
            return None
        if not hmac.compare_digest(bytes(row.body), self._body):
            text = _("This idempotency key was used for another request.")
            raise Problem(422, "idempotency_key_reused", text)
        return self._stored_answer(row)

    def remember(self, status: int, headers: dict[str, str], data: object) -> None:
        body = msgspec.Raw(JSONRenderer().render(data) or b"null")
        answer = _Answer(status, {n: headers[n] for n in KEPT_HEADERS if n in headers}, body)
        ciphertext = self._cipher.encrypt(msgspec.json.encode(answer), self._aad())
        IdempotentRequest.objects.create(
            tenant=self._tenant,
            actor=self._actor,
            route=self._route,
            key=self._key,
            body=self._body,
            data_key_id=self._cipher.key_id,
            ciphertext=ciphertext,
        )

    def _lock(self) -> None:
        name = orjson.dumps([self._actor, self._route, self._key])
        number = int.from_bytes(sha256(name).digest()[:8], "big", signed=True)
        with connection.cursor() as cursor:
            cursor.execute("select pg_try_advisory_xact_lock(%s)", [number])
            if not cursor.fetchone()[0]:
                text = _("The same request is being worked on.")
                raise Problem(409, "in_progress", text, headers={"Retry-After": "1"})

    def _stored_answer(self, row: IdempotentRequest) -> HttpResponse:
        try:
            cipher = keyring.by_id_now(row.data_key_id)
            answer = msgspec.json.decode(
                cipher.decrypt(bytes(row.ciphertext), self._aad()), type=_Answer
            )
        except Unreadable:
            raise Problem(
                409,
                "answered_before",
                _("This request was completed, but its response is no longer stored."),
            ) from None
        headers = {**answer.headers, "Idempotency-Replayed": "true"}
        return HttpResponse(bytes(answer.body), "application/json", answer.status, headers=headers)

    def _aad(self) -> bytes:
        return f"tenants_idempotentrequest|{self._actor}|{self._route}|{self._key}".encode()
