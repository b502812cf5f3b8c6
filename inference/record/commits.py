"""The group commits of a process that takes requests."""

from functools import partial
from typing import Any

from audit.trail.group_commit import GroupCommit
from inference.record import claiming, statements
from inference.record.settling import RecordedAndSettled

RECORD_PATIENCE_S = 1.0
RECORD_TENANT_BYTES = 64 * 1024 * 1024
SETTLE_PATIENCE_S = 30


class Commits:
    """Each connects with its first row.

    `received` records requests, `claimed` those with an idempotency key, `settled` their ends.
    `answered_at_once` records and settles a request whose answer is there: its rows are bills too.
    """

    def __init__(self, dsn: str) -> None:
        recording: dict[str, Any] = {
            "patience_s": RECORD_PATIENCE_S,
            "tenant_bytes": RECORD_TENANT_BYTES,
        }
        commit = partial(GroupCommit, dsn)
        self.received = commit(
            statements.RECEIVED,
            with_texts=statements.RECEIVED_WITH_TEXTS,
            what="received",
            **recording,
        )
        self.claimed = commit(
            claiming.CLAIMED, with_texts=claiming.CLAIMED_WITH_TEXTS, what="claimed", **recording
        )
        self.settled = commit(statements.SETTLED, patience_s=SETTLE_PATIENCE_S, what="settled")
        self.answered_at_once = RecordedAndSettled(
            dsn,
            statements.RECEIVED,
            doubt_s=SETTLE_PATIENCE_S,
            what="answered_at_once",
            **recording,
        )

    async def close(self) -> None:
        for commits in (self.received, self.claimed, self.answered_at_once, self.settled):
            await commits.close()
