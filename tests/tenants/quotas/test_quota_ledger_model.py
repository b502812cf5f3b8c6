"""Whatever happens in whatever order, the ledger is what a few lines of Python say it is.

FOREBAY_TEST_LEDGERS says how many ledgers (`make soak`: 200).
"""

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tenants.models import ApiKey, LedgerEntry, Quota, QuotaCounter, Tenant, User
from tenants.models.quotas.quota_raise import QuotaRaise
from tenants.quotas import windows
from tenants.quotas.windows import ledger_sum
from tests.tenants.book import Asked, Book, session_sum

EXAMPLES = int(os.environ.get("FOREBAY_TEST_LEDGERS", "15"))
AMOUNTS = st.integers(0, 60)
SESSIONS = (None, *(UUID(int=number) for number in (1, 2, 3)))


@dataclass
class Known:
    """A request that was let in."""

    asked: Asked
    ended: tuple[int, int, int] | None = None  # requests, tokens, cost


@dataclass
class Budget:
    quota: Quota
    limit: int
    raises: dict[UUID, int] = field(default_factory=dict)

    @property
    def allowed(self) -> int:
        return self.limit + sum(self.raises.values())

    def counts(self, asked: Asked) -> bool:
        key = asked.key and asked.key.id
        if self.quota.window == "session" and asked.session is None:
            return False
        return self.quota.model in ("", asked.model) and self.quota.api_key_id in (None, key)

    def amount(self, figures: tuple[int, int, int]) -> int:
        return figures[("requests", "tokens", "cost").index(self.quota.unit)]


class Ledger(RuleBasedStateMachine):
    dsn = ""

    @initialize()
    def open(self) -> None:
        self.book = Book(self.dsn)
        self.acme = Tenant.open(f"t{uuid4().hex[:12]}", by="test")
        self.keys = [ApiKey.issue(self.acme, name, by="test")[0] for name in ("one", "two")]
        self.users = [User.objects.create_user(f"{uuid4().hex}@acme.example") for _ in range(2)]
        self.known: dict[UUID, Known] = {}
        self.budgets: dict[UUID, Budget] = {}
        # Noon, so that no step of the machine meets the real midnight.
        self.now = windows.bounds("day", datetime.now(UTC), "UTC").starts + timedelta(hours=12)

    def teardown(self) -> None:
        if hasattr(self, "book"):
            self.book.connection.close()

    # What the model says --------------------------------------------------------------------------
    def taken(self, budget: Budget, at: datetime, session: UUID | None = None) -> tuple[int, int]:
        """What a quota per session says of one; others in the window of `at`."""
        starts, ends = windows.bounds(budget.quota.window, at, "UTC")
        used = reserved = 0
        for each in self.known.values():
            ours = budget.quota.window != "session" or each.asked.session == session
            if ours and starts <= each.asked.at < ends and budget.counts(each.asked):
                if each.ended:
                    used += budget.amount(each.ended)
                else:
                    reserved += budget.amount((1, each.asked.tokens, each.asked.cost))
        return used, reserved

    def fits(self, asked: Asked) -> bool:
        for budget in self.budgets.values():
            amount = budget.amount((1, asked.tokens, asked.cost))
            room = budget.allowed - sum(self.taken(budget, asked.at, asked.session))
            if budget.counts(asked) and amount > max(0, room):
                return False
        return True

    # What happens ---------------------------------------------------------------------------------
    @rule(
        group=st.lists(
            st.tuples(
                AMOUNTS,
                AMOUNTS,
                st.integers(0, 2),
                st.sampled_from(["mock", "large"]),
                st.sampled_from(SESSIONS),
            ),
            min_size=1,
            max_size=6,
        ),
        again=st.booleans(),
    )
    def reserve(self, group: list[tuple[int, int, int, str, UUID | None]], again: bool) -> None:
        asked = [
            Asked(
                self.acme,
                [*self.keys, None][key],
                None,
                model,
                tokens,
                cost,
                at=self.now,
                session=session,
            )
            for tokens, cost, key, model, session in group
        ]
        if again and self.known:
            asked.insert(0, next(reversed(self.known.values())).asked)
        said = self.book.take(*asked)
        for each, let_in in zip(asked, said, strict=True):
            assert let_in == (each.id in self.known or self.fits(each))
            if let_in:
                self.known.setdefault(each.id, Known(each))

    @precondition(lambda self: self.known)
    @rule(data=st.data(), tokens=AMOUNTS, cost=AMOUNTS, status=st.sampled_from([200, 499, 502]))
    def settle(self, data: Any, tokens: int, cost: int, status: int) -> None:
        some = data.draw(st.lists(st.sampled_from(list(self.known)), min_size=1, max_size=4))
        rows = [self.known[each].asked.over(tokens, cost, status) for each in some]
        fresh = {each for each in some if self.known[each].ended is None}
        assert self.book.settle(*rows) == fresh
        nothing = tokens == 0 and status != 200
        for each in fresh:
            self.known[each].ended = (0, 0, 0) if nothing else (1, tokens, cost)

    @rule(
        unit=st.sampled_from(["requests", "tokens", "cost"]),
        window=st.sampled_from(["day", "month", "session"]),
        scope=st.sampled_from(["tenant", "one", "mock"]),
        limit=st.integers(0, 150),
    )
    def set_quota(self, unit: str, window: str, scope: str, limit: int) -> None:
        where: dict[str, Any] = {"one": {"api_key": self.keys[0]}, "mock": {"model": "mock"}}
        quota = Quota.set(
            self.acme, unit=unit, window=window, limit=limit, by="test", **where.get(scope, {})
        )
        budget = self.budgets.setdefault(quota.id, Budget(quota, limit))
        budget.limit = limit

    @precondition(lambda self: self.budgets)
    @rule(data=st.data(), amount=st.integers(1, 80))
    def grant(self, data: Any, amount: int) -> None:
        budget = self.budgets[data.draw(st.sampled_from(list(self.budgets)))]
        until = datetime.now(UTC) + timedelta(days=1)
        asked = QuotaRaise.ask(budget.quota, amount, "more", until, user=self.users[0], by="test")
        if data.draw(st.booleans()):
            asked.approve(user=self.users[1], by="test")
            budget.raises[asked.id] = amount

    @precondition(lambda self: any(budget.raises for budget in self.budgets.values()))
    @rule()
    def raises_run_out(self) -> None:
        QuotaRaise.objects.of(self.acme).update(expires_at=datetime.now(UTC))
        for budget in self.budgets.values():
            budget.raises.clear()

    @precondition(lambda self: self.budgets)
    @rule(data=st.data())
    def drop_quota(self, data: Any) -> None:
        quota_id = data.draw(st.sampled_from(list(self.budgets)))
        Quota.objects.get(pk=quota_id).drop(by="test")
        del self.budgets[quota_id]

    @rule(hours=st.sampled_from([-30, -1, 1, 25, 24 * 31]))
    def the_clock_jumps(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule()
    def idle_sessions_are_forgotten(self) -> None:
        windows.forget_sessions(self.acme.id, datetime.now(UTC) + timedelta(days=1))

    # What always holds ----------------------------------------------------------------------------
    @invariant()
    def standings_are_the_models(self) -> None:
        for budget in getattr(self, "budgets", {}).values():
            standing = Quota.objects.get(pk=budget.quota.id).balance(self.now)
            session = standing.session
            if budget.quota.window != "session" or session:  # else no counter is open
                taken = self.taken(budget, self.now, session)
                assert (standing.used, standing.reserved) == taken
            assert budget.quota.balance().raised == budget.allowed - budget.limit  # by real time

    @invariant()
    def counters_are_the_ledgers_sums(self) -> None:
        if hasattr(self, "acme"):
            for counter in QuotaCounter.objects.filter(tenant=self.acme):
                if counter.session:
                    found = session_sum(counter.quota_id, counter.session)
                else:
                    found = ledger_sum(counter.quota_id, counter.starts, counter.ends)
                assert found == (counter.used, counter.reserved)

    @invariant()
    def the_ledger_knows_exactly_who_was_let_in(self) -> None:
        if hasattr(self, "acme"):
            entries = LedgerEntry.objects.filter(tenant=self.acme)
            ended = [each for each in self.known.values() if each.ended]
            assert entries.filter(kind="reserve").count() == len(self.known)
            assert entries.exclude(kind="reserve").count() == len(ended)


@pytest.mark.timeout(3600)
def test_the_ledger_follows_its_model(dsn: str) -> None:
    Ledger.dsn = dsn
    run_state_machine_as_test(
        Ledger,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],  # to shrink a failure takes minutes
        ),
    )
