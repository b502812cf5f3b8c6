"""An order: one completion, ready to run, on its way from the web process to a runner."""

from uuid import UUID

import msgspec

from tenants.quotas.charge import Charge

# Statuses after which a batch's line is retried: they are transient.
PASSES = frozenset({401, 403, 429, 503})
EMBED, RERANK = "embed", "rerank"  # tasks beside completions


class OrderAdapter(msgspec.Struct, frozen=True, array_like=True):
    """The LoRA adapter that a request is answered with, in one version."""

    name: str  # of the tenant, behind the base model's: `BASE:NAME`
    version: UUID  # of inference.models.ModelVersion
    label: str  # of that version: `name@number`
    formats: str = ""  # of its files: inference/adapters/files.py


class Stored(msgspec.Struct, frozen=True, array_like=True):
    """The rest of a request whose answer its key can retrieve later, in its front end's form."""

    items: bytes  # JSON: all input items, those of earlier responses first
    head: bytes  # JSON: what its response is made with beside its answer
    background: bool = False  # it goes on without its reader

    @property
    def size(self) -> int:
        """Returns its bytes."""
        return len(self.items) + len(self.head)


class Order(msgspec.Struct, frozen=True, array_like=True):
    """An order, encrypted in transit beside the id of its key. Times are seconds since the epoch.

    Orders of earlier versions are in queues and in the record: new fields go to the end and have
    defaults, and fields never move. Versions without a field do not see it: REVISIONS says which
    orders they must leave to others.
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
    reply_to: str  # the waiting web process
    outlives_reader: bool  # goes on when its reader leaves
    body: bytes  # for the engine; the audit trail records it
    created_at: float
    deadline: float
    estimate: int  # tokens
    weight: int
    klass: str = "realtime"  # in inference/classes.py
    charge: Charge = Charge()
    keeps_text: bool = False  # its answer becomes a chat's message
    pool: str = ""  # the pool to serve it
    local_only: bool = False  # no hosted engine may see it
    idempotent: bool = False  # its answer may be replayed: stored whole, also of a stream
    body_form: str = ""  # form of the engine that the body was prepared for, which may be gone
    local_only_by: str = ""  # the reason: tenants.caller.LocalOnlyBy
    cached: bytes = b""  # name of its answer in the cache (inference/cache); b"": not cached

    trace: str = ""  # its trace, as W3C's `traceparent tracestate`; "": none
    may_be_repeated: bool = False  # a line of a batch, retried after a transient failure
    adapter: OrderAdapter | None = None  # on `model`, its base; None: the base itself
    task: str = ""  # EMBED or RERANK; "": a completion
    stored: Stored | None = None  # None: its answer cannot be retrieved later
    choices: int = 1  # answers to all of its prompts together: inference/engines/choices.py
    session: UUID | None = None  # of its client: inference/intake/sessions.py

    @property
    def queue(self) -> str:
        """Returns its pool's name. Orders of earlier versions have none: it was the model's."""
        return self.pool or self.model

    @property
    def public_model(self) -> str:
        """Returns the model's name for clients."""
        return f"{self.model}:{self.adapter.name}" if self.adapter else self.model

    @property
    def item(self) -> "Item":
        return Item(1, self.estimate, self.weight, self.klass, str(self.tenant_id), str(self.id))

    @property
    def keeps_events(self) -> bool:
        """Returns whether a reader can resume it."""
        return self.stream

    @property
    def is_recorded_whole(self) -> bool:
        """Returns whether its answer may be read from the record: whole, also of a stream."""
        return self.idempotent or bool(self.cached) or self.stored is not None

    @property
    def size(self) -> int:
        """Returns the bytes of its texts."""
        return len(self.body) + (self.stored.size if self.stored else 0)

    @property
    def public_id(self) -> str:
        """Returns the body's `id` for clients."""
        return f"{self.task or ('chatcmpl' if self.chat else 'cmpl')}-{self.id.hex}"

    @property
    def form(self) -> str:
        """Returns the name of its API: chat, text, or its task."""
        return self.task or ("chat" if self.chat else "text")


class Item(msgspec.Struct, frozen=True):
    """An order in the queue's scripts: `attempt|estimate|weight|class|tenant|id`."""

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


# Fields without which a worker would answer something else than was asked, or bill it otherwise,
# with the revision of orders that brought them. Orders that use none have revision 0.
REVISIONS = {"adapter": 1, "task": 1, "stored": 1, "choices": 1, "session": 1}
_REVISION = max(REVISIONS.values())
_DEFAULTS = dict(zip(Order.__struct_fields__[::-1], Order.__struct_defaults__[::-1], strict=False))
# A revision other than 0 stands behind this byte, with which no MessagePack begins. A worker that
# cannot read an order gives it back unsettled, and the sweeper queues it for another one.
_MARK = b"\xc1"
_BEFORE_KEEPS_TEXT = b"\xdc\x00\x13"  # how an array of 19 begins
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Order).decode


def packed(order: Order) -> bytes:
    revision = _revision(order)
    return _MARK + bytes([revision]) + _encode(order) if revision else _encode(order)


def _revision(order: Order) -> int:
    """Returns the revision that a worker must know to take it."""
    used = (REVISIONS[name] for name in REVISIONS if getattr(order, name) != _DEFAULTS[name])
    return max(used, default=0)


def unpacked(data: bytes) -> Order:
    """Raises msgspec.DecodeError, also for an order of a later revision."""
    if data.startswith(_MARK):
        if data[1] > _REVISION:
            raise msgspec.DecodeError(f"orders of revision {data[1]} are for later versions")
        data = data[2:]
    order = _decode(data)
    if data.startswith(_BEFORE_KEEPS_TEXT):  # in that version only chats outlived their reader
        return msgspec.structs.replace(order, keeps_text=order.outlives_reader)
    return order
