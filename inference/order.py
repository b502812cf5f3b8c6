"""What crosses from the web to a runner: one completion, ready to run."""

from uuid import UUID

import msgspec

from tenants.quotas.charge import Charge

# Statuses after which a line of a batch is asked again: another time it may go well.
PASSES = frozenset({401, 403, 429, 503})


class Order(msgspec.Struct, frozen=True, array_like=True):
    """Travels encrypted, beside the id of its key. Times are seconds since the epoch.

    Orders of earlier versions are in queues and on record: new fields go to the end and have
    defaults, and none ever moves.
    """

    id: UUID
    tenant_id: UUID
    subject_id: UUID
    actor: str
    client_ip: str
    model: str
    route: str
    chat: bool  # /v1/chat/completions or /v1/completions of the engine
    stream: bool
    include_usage: bool
    reply_to: str  # the web process that waits
    outlives_reader: bool  # goes on when its reader leaves
    body: bytes  # for the engine, as the audit trail records it
    created_at: float
    deadline: float
    estimate: int  # tokens
    weight: int
    klass: str = "realtime"  # in inference/classes.py
    charge: Charge = Charge()
    keeps_text: bool = False  # its answer becomes a chat's message
    pool: str = ""  # that is to serve it
    local_only: bool = False  # no hosted engine may see it
    idempotent: bool = False  # its answer may be asked for again: kept whole, also of a stream
    body_form: str = ""  # of the engine that the body was prepared for; it may be gone by now
    local_only_by: str = ""  # who says so: tenants.caller.LocalOnlyBy
    cached: bytes = b""  # the name under which its answer is kept (inference/cache); b"": it is not

    trace: str = ""  # that it is a part of, as W3C's `traceparent tracestate`; "": of none
    may_be_repeated: bool = False  # a line of a batch, which is asked again if it fails for now

    @property
    def queue(self) -> str:
        """Its pool's; orders of earlier versions name none: there it had the model's name."""
        return self.pool or self.model

    @property
    def item(self) -> "Item":
        return Item(1, self.estimate, self.weight, self.klass, str(self.tenant_id), str(self.id))

    @property
    def keeps_events(self) -> bool:
        """Whether a reader can come back to it and resume."""
        return self.stream

    @property
    def public_id(self) -> str:
        """As clients see it in the body's `id`."""
        return f"{'chatcmpl' if self.chat else 'cmpl'}-{self.id.hex}"


class Item(msgspec.Struct, frozen=True):
    """How an order stands in the queue's scripts: `attempt|estimate|weight|class|tenant|id`."""

    attempt: int
    estimate: int
    weight: int
    klass: str
    tenant: str
    id: str

    def __str__(self) -> str:
        head = f"{self.attempt}|{self.estimate}|{self.weight}"
        return f"{head}|{self.klass}|{self.tenant}|{self.id}"

    @classmethod
    def parse(cls, text: bytes) -> "Item":
        attempt, estimate, weight, klass, tenant, request_id = text.decode().split("|")
        return cls(int(attempt), int(estimate), int(weight), klass, tenant, request_id)


_BEFORE_KEEPS_TEXT = b"\xdc\x00\x13"  # how an array of 19 begins
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Order).decode


def packed(order: Order) -> bytes:
    return _encode(order)


def unpacked(data: bytes) -> Order:
    order = _decode(data)
    if data.startswith(_BEFORE_KEEPS_TEXT):  # then nothing but chats outlived its reader
        return msgspec.structs.replace(order, keeps_text=order.outlives_reader)
    return order
