"""An intruder who changes the trail behind the platform's back."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import sql
from psycopg.types.json import Jsonb

from audit import merkle
from audit.keys import signing
from audit.proof.chain import CHECKPOINT, ZERO, CheckpointFacts, seal_hash
from audit.trail.canonical import LINE, microseconds, moment
from tests.audit.sealed import TENANTS, Trail

ROUNDS = 6
OLD = datetime.now(UTC).replace(day=10) - timedelta(days=245)  # its month may be dropped
# Where an event stands, not what happened: `xid` may change as long as the order does not, and a
# text's own id, and when a key was made, say nothing.
BOOKKEEPING = {("audit_event", "xid"), ("audit_payload", "id")}
TABLES = ("audit_event", "audit_payload", "audit_seal", "audit_checkpoint")


class Intruder:
    """Each method damages something and says what."""

    def __init__(self, root: psycopg.Connection[Any], random: Random) -> None:
        self.root, self.random = root, random

    def one(self, statement: str, *values: Any) -> Any:
        found = self.root.execute(statement, values).fetchone()
        assert found
        return found if len(found) > 1 else found[0]

    def run(self, statement: str, *values: Any) -> int:
        return self.root.execute(statement, values).rowcount

    def pick(self, table: str, where: str = "true") -> Any:
        key = "n" if table == "audit_checkpoint" else "id"
        rows = self.root.execute(f"select {key} from {table} where {where} order by 1").fetchall()
        return self.random.choice(rows)[0]

    # 1 -------------------------------------------------------------------------------------------
    def flip(self) -> str:
        return self._flip(self.random.choice(TABLES))

    def change_proofs(self) -> str:
        return self._flip(self.random.choice(TABLES[2:]))

    def _flip(self, table: str) -> str:
        columns = [c for c in self._columns(table) if (table, c[0]) not in BOOKKEEPING]
        key = "n" if table == "audit_checkpoint" else "id"
        for _ in range(100):
            row = self.pick(table)
            column, kind = self.random.choice(columns)
            before = self.one(f'select "{column}" from {table} where {key} = %s', row)
            after = self._flipped(before, kind)
            if after is None:
                continue
            change = sql.SQL("update {} set {} = %s where {} = %s").format(
                sql.Identifier(table), sql.Identifier(column), sql.Identifier(key)
            )
            try:
                with self.root.transaction():
                    self.root.execute(change, [after, row])
            except psycopg.Error:  # another row has that value, or the column does not take it
                continue
            return f"{table}.{column} of {row}: {before!r} -> {after!r}"
        raise AssertionError("nothing could be flipped")

    def _columns(self, table: str) -> list[tuple[str, str]]:
        return self.root.execute(
            "select column_name, data_type from information_schema.columns"
            " where table_name = %s order by 1",
            [table],
        ).fetchall()

    def _flipped(self, value: Any, kind: str) -> Any:
        bit = self.random.randrange
        if value is None:
            return {"uuid": uuid4(), "inet": "192.0.2.0", "integer": 7, "smallint": 7}.get(kind)
        if kind == "boolean":
            return not value
        if kind in ("smallint", "integer", "bigint"):
            return value ^ 1 << bit(14)
        if kind == "bytea":
            return _bent(bytes(value), bit(len(value) * 8)) if value else b"\0"
        if kind == "uuid":
            return UUID(bytes=_bent(value.bytes, bit(128)))
        if kind.startswith("timestamp"):
            return moment(microseconds(value) ^ 1 << bit(40))
        if kind == "ARRAY":
            place = bit(len(value))
            return [*value[:place], value[place] ^ 1 << bit(14), *value[place + 1 :]]
        if kind == "jsonb":
            return Jsonb({**value, "count": bit(10**6) + 10})
        if kind == "inet":
            return "203.0.113.0"
        return _other_text(value, bit(1000))

    # 2 -------------------------------------------------------------------------------------------
    def delete(self) -> str:
        table = self.random.choice(("audit_event", "audit_payload"))
        row = self.pick(table)
        self.run(f"delete from {table} where id = %s", row)
        return f"{table} {row} deleted"

    # 3 -------------------------------------------------------------------------------------------
    def reorder(self) -> str:
        a, b = self._two_of_a_tenant()
        what = self.random.choice(("xid", "at", "id"))
        if what == "xid":  # the order of writing
            self._swap(a, b, "xid" if self._differ(a, b) else "id")
        elif what == "at":
            self._swap(a, b, "at")
        else:  # in the seal itself
            seal, ids = self.one("select id, event_ids from audit_seal where size > 2"
                                 " order by random() limit 1")  # fmt: skip
            ids[0], ids[-1] = ids[-1], ids[0]
            self.run("update audit_seal set event_ids = %s where id = %s", ids, seal)
        return f"{what} of {a} and {b}"

    def _differ(self, a: int, b: int) -> bool:
        return bool(self.one("select count(distinct xid) > 1 from audit_event"
                             " where id in (%s, %s)", a, b))  # fmt: skip

    def _two_of_a_tenant(self) -> tuple[int, int]:
        first = self.pick("audit_event")
        others = ("id <> {0} and tenant_id is not distinct from"
                  " (select tenant_id from audit_event where id = {0})")  # fmt: skip
        return first, self.pick("audit_event", others.format(first))

    def _swap(self, a: int, b: int, column: str) -> None:
        """Take a number that nobody has."""
        one = self.one(f"select {column} from audit_event where id = %s", a)
        other = self.one(f"select {column} from audit_event where id = %s", b)
        if column == "id":
            self.run("update audit_event set id = -1 where id = %s", a)
            self.run("update audit_event set id = %s where id = %s", a, b)
            self.run("update audit_event set id = %s where id = -1", b)
            return
        self.run(f"update audit_event set {column} = %s where id = %s", other, a)
        self.run(f"update audit_event set {column} = %s where id = %s", one, b)

    # 4 -------------------------------------------------------------------------------------------
    def duplicate(self) -> str:
        row = self.pick("audit_event")
        columns = [c for c, _ in self._columns("audit_event") if c not in ("id", "request_id")]
        names = ", ".join(columns)
        request = self.random.choice(("gen_random_uuid()", "null"))
        self.run(f"insert into audit_event (id, request_id, {names})"
                 f" select nextval('audit_event_seq'), {request}, {names}"
                 " from audit_event where id = %s", row)  # fmt: skip
        return f"event {row} twice"

    # 5 -------------------------------------------------------------------------------------------
    def swap_tenants(self) -> str:
        row, tenant = self.one("select id, tenant_id from audit_event order by random() limit 1")
        other = self.random.choice([one for one in TENANTS if one != tenant])
        self.run("update audit_event set tenant_id = %s where id = %s", other, row)
        return f"event {row} to {other}"

    # 6 -------------------------------------------------------------------------------------------
    def truncate_tail(self) -> str:
        """Seals, checkpoints and all; whoever looks at the database alone finds it whole."""
        kept = self.random.randrange(ROUNDS)
        self._forget_after(kept)
        return f"everything after checkpoint {kept}"

    def _forget_after(self, kept: int) -> None:
        self.run("delete from audit_payload p using audit_event e, audit_seal s where"
                 " e.request_id = p.request_id and e.id = any(s.event_ids) and s.checkpoint > %s",
                 kept)  # fmt: skip
        self.run("delete from audit_event e using audit_seal s where e.id = any(s.event_ids)"
                 " and s.checkpoint > %s", kept)  # fmt: skip
        self.run("delete from audit_seal where checkpoint > %s", kept)
        self.run("delete from audit_checkpoint where n > %s", kept)
        self.run("update audit_sealmark set (xid, event_id) = (select coalesce(max(xid), 0),"
                 " coalesce(max(id), 0) from audit_event)")  # fmt: skip

    # 7 -------------------------------------------------------------------------------------------
    def swap_batches(self) -> str:
        a = self.pick("audit_seal")
        tenant = self.one("select tenant_id from audit_seal where id = %s", a)
        b = self.pick("audit_seal", f"id <> {a} and tenant_id = '{tenant}'")
        columns = self.random.choice(
            ("batch", "position", "root", "hash", "event_ids, leaves", "first_seq, size",
             "event_ids, leaves, root, size, first_at, last_at", "checkpoint")
        ).split(", ")  # fmt: skip
        swapped = ", ".join(f"{c} = o.{c}" for c in columns)
        before = self.root.execute("select * from audit_seal order by id").fetchall()
        self.run("alter table audit_seal drop constraint audit_seal_batch")
        self.run(f"update audit_seal s set {swapped} from audit_seal o"
                 " where (s.id, o.id) in ((%s, %s), (%s, %s))", a, b, b, a)  # fmt: skip
        if before == self.root.execute("select * from audit_seal order by id").fetchall():
            self.run("delete from audit_seal where id = %s", a)  # they were the same in this
        return f"{columns} of seals {a} and {b}"

    # 8 -------------------------------------------------------------------------------------------
    def restore_old_head(self) -> str:
        """The state of an earlier day, and from there on another history, honestly sealed."""
        kept = self.random.randrange(1, ROUNDS - 1)
        self._forget_after(kept)
        for _ in range(self.random.randrange(1, 4)):
            self._write_and_seal(signing.sign)
        return f"another history after checkpoint {kept}"

    # 9 -------------------------------------------------------------------------------------------
    def reseal_with_another_key(self) -> str:
        """An event is changed, and everything from there on sealed anew."""
        kept = self.random.randrange(ROUNDS)
        changed = self.pick("audit_event", f"id = any(array(select unnest(event_ids) from"
                                           f" audit_seal where checkpoint > {kept}))")  # fmt: skip
        self.run("update audit_event set actor = 'key:nobody' where id = %s", changed)
        key = Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes_raw()
        named = self.random.choice((public, signing.public_key()))  # it may even claim to be ours
        self._reseal_after(kept, key, signing.key_id(named))
        return f"event {changed} changed, sealed anew from checkpoint {kept + 1} on"

    def _reseal_after(self, kept: int, key: Ed25519PrivateKey, named: str) -> None:
        hashes = dict[tuple[UUID, int], bytes]()
        rows = self.root.execute("select id, tenant_id, batch, first_seq, size, event_ids,"
                                 " checkpoint, first_at, last_at, sealed_at, hash from audit_seal"
                                 " order by checkpoint, position").fetchall()  # fmt: skip
        for id_, tenant, batch, first, size, ids, n, first_at, last_at, sealed_at, hash_ in rows:
            if n <= kept:
                hashes[tenant, batch] = bytes(hash_)
                continue
            leaves = self._leaves(ids)
            root, previous = merkle.root(leaves), hashes.get((tenant, batch - 1), ZERO)
            times = microseconds(first_at), microseconds(last_at)
            facts = (
                tenant,
                batch,
                first,
                size,
                *times,
                root,
                previous,
                microseconds(sealed_at),
                200,
            )
            hashes[tenant, batch] = mine = seal_hash(*facts)
            self.run("update audit_seal set leaves = %s, root = %s, previous = %s, hash = %s"
                     " where id = %s", b"".join(leaves), root, previous, mine, id_)  # fmt: skip
        self._sign_after(kept, key, named)

    def _sign_after(self, kept: int, key: Ed25519PrivateKey, named: str) -> None:
        previous = ZERO
        for n, size, _, at in self.root.execute(
            "select n, size, root, at from audit_checkpoint order by n"
        ).fetchall():
            seals = self.root.execute("select hash from audit_seal where checkpoint = %s"
                                      " order by position", [n]).fetchall()  # fmt: skip
            facts = CheckpointFacts(n, size, merkle.root([bytes(h) for (h,) in seals]), previous,
                           microseconds(at))  # fmt: skip
            previous = facts.digest
            if n > kept:
                signature = key.sign(signing.signed_text(facts.text, CHECKPOINT))
                self.run("update audit_checkpoint set root = %s, previous = %s, key_id = %s,"
                         " signature = %s where n = %s",
                         facts.root, facts.previous, named, signature, n)  # fmt: skip

    def _leaves(self, ids: list[int]) -> list[bytes]:
        rows = self.root.execute(f"select id, {LINE} from audit_event where id = any(%s)", [ids])
        lines = dict(rows.fetchall())
        return [merkle.leaf(lines[event_id].encode()) for event_id in ids]

    def _write_and_seal(self, sign: Callable[[bytes, str], bytes], **facts: Any) -> None:
        trail = Trail(self.root, seed=self.random.randrange(2**30))
        wanted = {"action": "tenant:create", **facts}
        ids = [trail.write(tenant_id=None, **wanted) for _ in range(1 if facts else 3)]
        n, size, root, previous, at = self.one(
            "select n, size, root, previous, at from audit_checkpoint order by n desc limit 1"
        )
        last = CheckpointFacts(n, size, bytes(root), bytes(previous), microseconds(at))
        seal_id = self.one("select max(id) + 1 from audit_seal")
        tenant = UUID(int=0)
        found = self.root.execute("select batch, first_seq + size, hash from audit_seal where"
                                  " tenant_id = %s order by batch desc limit 1",
                                  [tenant]).fetchone()  # fmt: skip
        batch, seq, hash_ = found or (0, 1, ZERO)
        leaves, now = self._leaves(ids), self.one("select date_trunc('milliseconds', now())")
        first_at, last_at = self.one("select min(at), max(at) from audit_event where id = any(%s)",
                                     ids)  # fmt: skip
        head, held = (tenant, batch + 1, seq, len(ids)), (merkle.root(leaves), bytes(hash_))
        times = microseconds(first_at), microseconds(last_at)
        mine = seal_hash(*head, *times, *held, microseconds(now), 200)
        self.run("insert into audit_seal (retention_days, tenant_id, batch, first_seq, size,"
                 " root, previous, hash, id, event_ids, leaves, first_at, last_at, checkpoint,"
                 " position, sealed_at)"
                 " values (200, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 0, %s)", *head,
                 *held, mine, seal_id, ids, b"".join(leaves), first_at, last_at, n + 1,
                 now)  # fmt: skip
        new = CheckpointFacts(
            n + 1, size + len(ids), merkle.root([mine]), last.digest, microseconds(now)
        )
        self.run("insert into audit_checkpoint (n, size, root, previous, at, key_id, signature)"
                 " values (%s, %s, %s, %s, %s, %s, %s)", new.n, new.size, new.root, new.previous,
                 now, signing.key_id(), sign(new.text, CHECKPOINT))  # fmt: skip
        self.run("update audit_sealmark set (xid, event_id) = (select max(xid), max(id)"
                 " from audit_event)")  # fmt: skip

    # 11 ------------------------------------------------------------------------------------------
    def forge_a_dropped_month(self) -> str:
        """Batches go, and the trail says itself that retention took them: sealed, by us."""
        month = self.random.choice(("2020-01", "2024-12", f"{self._old():%Y-%m}"))
        seals = self._some_seals()
        rows = self._take_events(seals)
        if self.random.random() < 0.7:  # else the batches are of another time than the month
            self.run("update audit_seal set (first_at, last_at) = (%s, %s) where id = any(%s)",
                     f"{month}-10", f"{month}-11", seals)  # fmt: skip
        self._say_dropped("audit_event", month, rows)
        return f"{rows} events of seals {seals} went with {month}"

    def forge_a_dropped_month_of_texts(self) -> str:
        month = self.random.choice((f"{self._old():%Y-%m}", f"{datetime.now(UTC):%Y-%m}"))
        text = self.pick("audit_payload")
        self.run("delete from audit_payload where id = %s", text)
        self._say_dropped("audit_payload", month, 1)
        return f"text {text} went with {month}"

    def forge_word_of_a_dropped_month(self) -> str:
        """The event alone, or the row alone."""
        month, seals = f"{self._old():%Y-%m}", self._some_seals()
        rows = self._take_events(seals)
        if self.random.random() < 0.5:
            self._say_dropped("audit_event", month, rows, row=False)
        else:
            self._say_dropped("audit_event", month, rows, event=False)
        return f"{rows} events of seals {seals}"

    def _old(self) -> datetime:
        return OLD - timedelta(days=self.random.choice((0, 0, 0, 31, 800)))

    def _some_seals(self) -> list[int]:
        whose = self.one("select tenant_id from audit_seal order by random() limit 1")
        rows = self.root.execute("select id from audit_seal where tenant_id = %s", [whose])
        ids = [id_ for (id_,) in rows]
        return self.random.sample(ids, self.random.randrange(1, len(ids) + 1))

    def _take_events(self, seals: list[int]) -> int:
        theirs = "e.id = any(array(select unnest(event_ids) from audit_seal where id = any(%s)))"
        self.run("delete from audit_payload p using audit_event e"
                 f" where e.request_id = p.request_id and {theirs}", seals)  # fmt: skip
        return self.run(f"delete from audit_event e where {theirs}", seals)

    def _say_dropped(
        self, table: str, month: str, rows: int, *, row: bool = True, event: bool = True
    ) -> None:
        if row:
            self.run('insert into audit_prunedmonth ("table", month, rows, pruned_at)'
                     " values (%s, %s, %s, now())", table, f"{month}-01", rows)  # fmt: skip
        if event:
            told = {"table": table, "month": month, "rows": rows}
            self._write_and_seal(signing.sign, action="audit:prune", detail=Jsonb(told))


KINDS = (
    Intruder.flip,
    Intruder.delete,
    Intruder.reorder,
    Intruder.duplicate,
    Intruder.swap_tenants,
    Intruder.truncate_tail,
    Intruder.swap_batches,
    Intruder.restore_old_head,
    Intruder.change_proofs,
    Intruder.reseal_with_another_key,
    Intruder.forge_a_dropped_month,
    Intruder.forge_a_dropped_month_of_texts,
    Intruder.forge_word_of_a_dropped_month,
)


def _bent(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def _other_text(value: str, place: int) -> str:
    if not value:
        return "x"
    place %= len(value)
    return value[:place] + chr(ord(value[place]) ^ 1) + value[place + 1 :]
