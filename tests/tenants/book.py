"""Requests at the ledger, as the hot path writes them, without what else a request leaves."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg
from django.db import connection

from tenants.models import ApiKey, Member, Tenant
from tenants.quotas import windows
from tenants.quotas.ledger_answer import Verdict, verdict


@dataclass(frozen=True)
class Asked:
    """A request. `at` is when it came in."""

    tenant: Tenant
    key: ApiKey | None = None
    member: Member | None = None
    model: str = "mock"
    tokens: int = 100
    cost: int = 0
    gpu_ms: int = 0
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    id: UUID = field(default_factory=uuid4)
    session: UUID | None = None
    team: UUID | None = None

    @property
    def scope(self) -> dict[str, Any]:
        return {
            "id": self.id.hex,
            "tenant_id": self.tenant.id.hex,
            "api_key_id": self.key and self.key.id.hex,
            "member_id": self.member and self.member.id.hex,
            "model": self.model,
            **({"session": self.session.hex} if self.session else {}),
            **({"team_id": self.team.hex} if self.team else {}),
        }

    @property
    def row(self) -> dict[str, Any]:
        day = windows.bounds("day", self.at, self.tenant.time_zone)
        month = windows.bounds("month", self.at, self.tenant.time_zone)
        return {
            **self.scope,
            "at": self.at.isoformat(),
            "tokens": self.tokens,
            "cost": self.cost,
            "gpu_ms": self.gpu_ms,
            "day_starts": day.starts_text,
            "day_ends": day.ends_text,
            "month_starts": month.starts_text,
            "month_ends": month.ends_text,
        }

    def over(
        self,
        tokens: int = 30,
        cost: int = 0,
        status: int = 200,
        at: datetime | None = None,
        gpu_ms: int = 0,
    ) -> dict[str, Any]:
        """Its settlement."""
        return {
            **self.scope,
            "at": (at or datetime.now(UTC)).isoformat(),
            "tokens_in": tokens // 2,
            "tokens_out": tokens - tokens // 2,
            "cost": cost,
            "gpu_ms": gpu_ms,
            "status": status,
        }


class Book:
    """One connection to the ledger."""

    def __init__(self, dsn: str) -> None:
        self.connection = psycopg.connect(dsn, autocommit=True)

    def reserve(self, *asked: Asked) -> dict[UUID, Verdict]:
        rows = self._run("tenants_reserve", [each.row for each in asked])
        said = {row[0]: {"taken": row[1], "refused": row[2]} for row in rows}
        return {each.id: verdict(said.get(each.id)) for each in asked}

    def take(self, *asked: Asked) -> list[bool]:
        """Which of them may run."""
        said = self.reserve(*asked)
        return [said[each.id].out_of is None for each in asked]

    def settle(self, *rows: dict[str, Any]) -> set[UUID]:
        return {row[0] for row in self._run("tenants_settle", list(rows))}

    def _run(self, function: str, rows: list[Any]) -> list[tuple[Any, ...]]:
        text = orjson.dumps(rows).decode()
        return self.connection.execute(f"select * from {function}(%s::jsonb)", [text]).fetchall()


def session_sum(quota_id: UUID, session: UUID) -> tuple[int, int]:
    """Returns (used, reserved) of a session."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select used, reserved from tenants_session_sum(%s, %s)", [quota_id, session]
        )
        used, reserved = cursor.fetchone()
    return used, reserved
