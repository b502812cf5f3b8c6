"""Orders on record and in queues outlive an upgrade."""

from typing import Any
from uuid import UUID

import msgspec
import pytest

from inference.order import REVISIONS, Order, OrderAdapter, Stored, packed, unpacked
from tenants.quotas.charge import Charge
from tests.inference.orders import an_order

pytestmark = pytest.mark.unit
# As version 0.1.0 wrote them, before orders said whether their text is kept.
CHAT = bytes.fromhex(
    "dc0013"
    "d92430303030303030302d303030302d303030302d303030302d303030303030303030303031"
    "d92430303030303030302d303030302d303030302d303030302d303030303030303030303032"
    "d92430303030303030302d303030302d303030302d303030302d303030303030303030303033"
    "a56b65793a34ac3139382e35312e3130302e37a4736d6f6ca463686174c3c3c3a0c3c4027b7d"
    "cb41d9d15830200000cb41d9d158c62000006404a5626174636898"
    "d92430303030303030302d303030302d303030302d303030302d303030303030303030303035"
    "c0c00709cb4000000000000000cb0000000000000000cb0000000000000000"
)
OF_A_KEY = bytes.fromhex(
    "dc0013"
    "d92430303030303030302d303030302d303030302d303030302d303030303030303030303031"
    "d92430303030303030302d303030302d303030302d303030302d303030303030303030303032"
    "d92430303030303030302d303030302d303030302d303030302d303030303030303030303033"
    "a56b65793a34ac3139382e35312e3130302e37a4736d6f6c"
    "b42f76312f636861742f636f6d706c6574696f6e73c3c3c3a57765622d31c2c4027b7d"
    "cb41d9d15830200000cb41d9d158c62000006404a5626174636898"
    "d92430303030303030302d303030302d303030302d303030302d303030303030303030303035"
    "c0c00709cb4000000000000000cb0000000000000000cb0000000000000000"
)
THE_CHAT = Order(
    id=UUID(int=1),
    tenant_id=UUID(int=2),
    subject_id=UUID(int=3),
    actor="key:4",
    client_ip="198.51.100.7",
    model="smol",
    route="chat",
    chat=True,
    stream=True,
    include_usage=True,
    reply_to="",
    outlives_reader=True,
    body=b"{}",
    created_at=1732600000.5,
    deadline=1732600600.5,
    estimate=100,
    weight=4,
    klass="batch",
    charge=Charge(UUID(int=5), prompt_tokens=7, completion_tokens=9, prompt_price=2.0),
    keeps_text=True,
)


def test_a_chat_of_an_earlier_version_still_becomes_a_message() -> None:
    assert unpacked(CHAT) == THE_CHAT


def test_a_keys_request_of_an_earlier_version_can_be_read() -> None:
    assert unpacked(OF_A_KEY) == msgspec.structs.replace(
        THE_CHAT,
        route="/v1/chat/completions",
        reply_to="web-1",
        outlives_reader=False,
        keeps_text=False,
    )


@pytest.mark.parametrize("outlives_reader", [False, True])
@pytest.mark.parametrize("keeps_text", [False, True])
def test_what_is_packed_comes_out_the_same(outlives_reader: bool, keeps_text: bool) -> None:
    order = an_order(outlives_reader=outlives_reader, keeps_text=keeps_text)
    assert unpacked(packed(order)) == order


def test_an_earlier_version_reads_what_it_knows_of_todays() -> None:
    """It takes the fields in their order, and leaves the others."""
    assert _begins_with(msgspec.msgpack.decode(packed(THE_CHAT)), msgspec.msgpack.decode(CHAT))


OLDER = msgspec.msgpack.Decoder(Order).decode  # as before orders had revisions
NEW = {
    "adapter": OrderAdapter("support", UUID(int=8), "tuned@1"),
    "task": "embed",
    "stored": Stored(b"[]", b"{}"),
    "choices": 3,
    "session": UUID(int=9),
}


@pytest.mark.parametrize("name", NEW)
def test_an_earlier_version_cannot_read_what_it_would_answer_in_part(name: str) -> None:
    order = an_order(**{name: NEW[name]})
    assert unpacked(packed(order)) == order
    with pytest.raises(msgspec.DecodeError):
        OLDER(packed(order))


def test_an_order_of_a_later_revision_cannot_be_read() -> None:
    data = packed(an_order(choices=3))
    later = data[:1] + bytes([max(REVISIONS.values()) + 1]) + data[2:]
    with pytest.raises(msgspec.DecodeError, match="for later versions"):
        unpacked(later)


# An earlier version may leave these out of account: its answer and its bill are the same, but that
# a repeated line of a batch counts as often as it was tried.
WITHOUT_HARM = {"trace", "may_be_repeated"}


def test_each_new_field_says_whether_earlier_versions_can_do_without() -> None:
    fields = Order.__struct_fields__
    after_the_release = fields[fields.index("cached") + 1 :]
    assert set(after_the_release) == REVISIONS.keys() | WITHOUT_HARM
    assert NEW.keys() == REVISIONS.keys()


def _begins_with(found: Any, start: Any) -> bool:
    """Also in the lists that it has: what travels with an order grows at its end, too."""
    if not isinstance(start, list):
        return bool(found == start)
    return len(found) >= len(start) and all(map(_begins_with, found, start))
