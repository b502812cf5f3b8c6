"""`forebay backup status`: how far all is stored, and what was last proven."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from console.backups.record import Progress, Verified

_BEHIND_S = 60  # seconds without everything being stored


@dataclass(frozen=True, slots=True)
class Status:
    place: str
    progress: Progress
    verified: Verified
    now: float

    @property
    def behind_s(self) -> float:
        return round(self.now - self.progress.stored_until, 1)

    @property
    def is_well(self) -> bool:
        return self.progress.is_running and self.behind_s <= _BEHIND_S and not self.progress.failure

    def as_json(self) -> dict[str, Any]:
        return {
            **asdict(self.progress),
            "place": self.place,
            "running": self.progress.is_running,
            "behind_s": self.behind_s,
            "verified": asdict(self.verified),
        }

    def __str__(self) -> str:
        progress, verified = self.progress, self.verified
        size = f" ({progress.base_bytes / 1e6:.1f} MB)" if progress.base else ""
        findings = f", {len(verified.findings)} findings" if verified.at else ""
        lines = [
            f"place        {self.place or 'none: set FOREBAY_BACKUP_TO'}",
            f"process      {'runs' if progress.is_running else 'does not run'}",
            f"stored until {self._moment(progress.stored_until)}",
            f"last base    {progress.base or 'none'}{size}",
            f"verified     {self._moment(verified.at)}{findings}",
            f"kit checked  {self._moment(verified.kit_at)}",
        ]
        lines += [f"found        {finding}" for finding in verified.findings]
        if progress.gaps:
            lines.append(f"gaps         {progress.gaps}: no restore goes to a moment in them")
        if progress.failure:
            lines.append(f"fails since  {self._moment(progress.failing_since)}: {progress.failure}")
        return "\n".join(lines)

    def _moment(self, at: float) -> str:
        if not at:
            return "never"
        stamp = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
        return f"{stamp}, {self.now - at:.0f} s ago"
