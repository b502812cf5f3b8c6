"""Ten thousand flipped bits and a thousand ciphertexts moved elsewhere: none of them opens.

With keys as the keyring makes them. The counts are printed, for the soak's log.
"""

import random
from itertools import product
from typing import NamedTuple
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit.keys import rotation
from audit.keys.cipher import Cipher, Unreadable
from audit.keys.keyring import Keyring, newest, wrap
from audit.keys.master_keys.errors import MasterKeyMissing
from audit.models import DataKey
from inference.chat import conversations
from inference.chat.conversations import message_aad, said_in, title_of
from inference.models import Author, Conversation, Message
from inference.record import request_rows
from tenants.models import Tenant, User
from tenants.roles import Role
from tests.inference.orders import an_order

pytestmark = pytest.mark.django_db(transaction=True)
FLIPS, MOVES = 10_000, 1_000
TABLES = (b"audit_payload", b"inference_message")
FIELDS = (b"request", b"response")


class Text(NamedTuple):
    """A ciphertext and where it belongs."""

    cipher: Cipher
    place: bytes
    ciphertext: bytes


def texts() -> list[Text]:
    """Of 2 tenants, 3 people each with 2 versions of a key, 2 rows, 2 tables, 2 fields."""
    ring, found = Keyring(), list[Text]()
    for tenant, _ in product([uuid4(), uuid4()], range(3)):
        for cipher in two_versions(ring, tenant, uuid4()):
            for row, table, field in product([uuid4(), uuid4()], TABLES, FIELDS):
                place = b"|".join([table, tenant.bytes, row.bytes, field])
                text = b"a prompt of %b" % row.hex.encode()
                found.append(Text(cipher, place, cipher.encrypt(text, place)))
    return found


def two_versions(ring: Keyring, tenant: UUID, who: UUID) -> tuple[Cipher, Cipher]:
    first = ring.of_subject_now(tenant, who)
    row = DataKey(id=uuid4(), tenant_id=tenant, subject_id=who, version=2)
    wrap(row, AESGCM.generate_key(256), ring.of_subject_now(tenant, None))
    row.save(force_insert=True)
    return first, ring.by_id_now(row.id)


def opens(cipher: Cipher, ciphertext: bytes, place: bytes) -> bool:
    try:
        cipher.decrypt(ciphertext, place)
    except Unreadable:
        return False
    return True


def test_no_flipped_bit_opens(capsys: pytest.CaptureFixture[str]) -> None:
    chance, all_of_them = random.Random(4), texts()
    opened = 0
    for _ in range(FLIPS):
        cipher, place, ciphertext = chance.choice(all_of_them)
        changed, bit = bytearray(ciphertext), chance.randrange(len(ciphertext) * 8)
        changed[bit // 8] ^= 1 << bit % 8
        opened += opens(cipher, bytes(changed), place)
    assert all(opens(text.cipher, text.ciphertext, text.place) for text in all_of_them)
    with capsys.disabled():
        print(f"\n  {FLIPS} bits flipped, {opened} opened")
    assert opened == 0


def test_nothing_opens_in_another_place(capsys: pytest.CaptureFixture[str]) -> None:
    """Moved to another row, tenant, table, field or version: the place's own key or its own."""
    chance, all_of_them = random.Random(4), texts()
    opened = 0
    for _ in range(MOVES):
        one, other = chance.sample(all_of_them, 2)
        key = one.cipher if (one.place != other.place and chance.random() < 0.5) else other.cipher
        opened += opens(key, one.ciphertext, other.place)
    with capsys.disabled():
        print(f"\n  {MOVES} ciphertexts moved, {opened} opened")
    assert opened == 0


def test_every_bit_of_a_wrapped_key_counts() -> None:
    """In the database: 480 bits of a subject's key, then of its tenant's."""
    acme, alice = uuid4(), uuid4()
    hers = Keyring().of_subject_now(acme, alice).key_id
    above = newest(acme, None)
    assert above
    for key_id in (hers, above.id):
        row = DataKey.objects.get(pk=key_id)
        good = bytes(row.wrapped)
        for bit in range(len(good) * 8):
            changed = bytearray(good)
            changed[bit // 8] ^= 1 << bit % 8
            row.wrapped = bytes(changed)
            with pytest.raises(Unreadable):
                Keyring().unwrap(row)
        row.wrapped = good
        assert Keyring().unwrap(row)


@pytest.mark.parametrize("column", ["wrapped", "id", "tenant_id", "subject_id", "version"])
def test_wrapped_keys_do_not_change_places(column: str) -> None:
    """Between people, versions and tenants, as somebody with the database's password may try."""
    ring, acme = Keyring(), uuid4()
    alice, bob = uuid4(), uuid4()
    two_versions(ring, acme, alice)
    ring.of_subject_now(acme, bob)
    ring.of_subject_now(uuid4(), alice)
    rotation.advance(rotation.start_tenant(acme, by="operator:test"))
    rows = list(DataKey.objects.all())
    for row, other in product(rows, rows):
        changed = DataKey.objects.get(pk=row.pk)
        if getattr(row, column) == getattr(other, column):
            continue
        setattr(changed, column, getattr(other, column))
        with pytest.raises((Unreadable, MasterKeyMissing)):
            Keyring().unwrap(changed)


def test_payloads_do_not_change_places() -> None:
    """Requests and answers of two people of two tenants, swapped row by row in the database."""
    found = {}
    for order in (an_order(), an_order(), an_order()):
        cipher = Keyring().of_subject_now(order.tenant_id, order.subject_id)
        for field in FIELDS:
            place = request_rows.aad(order, field.decode())
            found[place] = cipher.key_id, cipher.encrypt(b"a text", place)
    ring = Keyring()
    for (place, _), (other, (key_id, ciphertext)) in product(found.items(), found.items()):
        assert opens(ring.by_id_now(key_id), ciphertext, place) == (place == other)


def test_messages_and_titles_do_not_change_places() -> None:
    tenant = Tenant.open("acme", by="operator:test")
    alice = User.objects.create_user("alice@acme.invalid")
    member = tenant.add_member(alice, Role.MEMBER, by="operator:test")
    first, second = (conversations.start(member, "m", text) for text in ("one", "two"))
    assert (title_of(first), title_of(second)) == ("one", "two")
    messages = [message_in(first), message_in(second)]
    assert [said_in(message).text for message in messages] == ["hello", "hello"]
    first.title_ciphertext, second.title_ciphertext = (
        second.title_ciphertext,
        first.title_ciphertext,
    )
    messages[0].ciphertext, messages[1].ciphertext = messages[1].ciphertext, messages[0].ciphertext
    assert (title_of(first), title_of(second)) == ("", "")
    for message in messages:
        with pytest.raises(Unreadable):
            said_in(message)


def message_in(conversation: Conversation) -> Message:
    message = Message(conversation=conversation, author=Author.USER, tenant=conversation.tenant)
    subject = conversation.member.subject_id
    cipher = Keyring().of_subject_now(conversation.tenant_id, subject)
    message.data_key_id = cipher.key_id
    message.ciphertext = cipher.encrypt(b"hello", message_aad(message))
    return message
