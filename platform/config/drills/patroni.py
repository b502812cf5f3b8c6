"""Patroni's REST API: the state of a cluster, and a planned switch-over."""

import base64
import json
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

from config.drills.plan import Patroni

_PATIENCE_S, _SWITCH_S = 3, 60
_PRIMARIES = ("leader", "standby_leader")


@dataclass(frozen=True, slots=True)
class Member:
    name: str
    host: str
    role: str  # leader, quorum_standby, sync_standby, replica
    state: str  # running, streaming, and others
    timeline: int


class Cluster:
    def __init__(self, access: Patroni) -> None:
        self._access = access

    def members(self) -> tuple[list[Member], bool]:
        """Returns the members, and whether Patroni is paused. Raises OSError if none answers."""
        problem: OSError = OSError("no Patroni is named")
        for url in self._access.urls:
            try:
                answer = _json(f"{url}/cluster")
            except OSError as error:
                problem = error
                continue
            return [_member(each) for each in answer["members"]], bool(answer.get("pause"))
        raise problem

    def problem(self) -> str:
        """Returns what is not as it should be, "" if nothing is."""
        try:
            members, paused = self.members()
        except (OSError, ValueError, KeyError) as error:
            return f"Patroni does not answer: {error}"
        return "Patroni is paused" if paused else whole(members)

    def primary(self) -> Member:
        """Raises OSError where there is none."""
        members, _ = self.members()
        for each in members:
            if each.role in _PRIMARIES:
                return each
        raise OSError("there is no primary")

    def values(self) -> dict[str, str]:
        primary = self.primary()
        zone = self._access.zones.get(primary.name, "")
        return {"name": primary.name, "host": primary.host, "zone": zone}

    def primaries(self) -> list[str]:
        """Returns every node whose own Patroni says that it takes writes."""
        writable = []
        for url in self._access.urls:
            try:
                opened(f"{url}/primary", _PATIENCE_S).close()
            except OSError:
                continue
            writable.append(urlsplit(url).hostname or url)
        return writable

    def switch_over(self) -> str:
        """Hand the role to a synchronous standby. Raises OSError."""
        members, _ = self.members()
        primary = self.primary()
        standby = next(each for each in members if each.role.endswith("_standby"))
        body = json.dumps({"leader": primary.name, "candidate": standby.name}).encode()
        url = next(u for u in self._access.urls if urlsplit(u).hostname == primary.host)
        request = urllib.request.Request(f"{url}/switchover", body, method="POST")  # noqa: S310 as below
        request.add_header("Authorization", f"Basic {self._token()}")
        with opened(request, _SWITCH_S) as answer:
            answer.read()
        return f"{primary.name} to {standby.name}"

    def _token(self) -> str:
        file = self._access.password_file
        password = Path(file).read_text().strip() if file else ""
        return base64.b64encode(f"{self._access.username}:{password}".encode()).decode()


def whole(members: Sequence[Member]) -> str:
    """Returns why a cluster may not be drilled, "" if it may."""
    primaries = [each for each in members if each.role in _PRIMARIES and each.state == "running"]
    if len(primaries) != 1:
        return f"{len(primaries)} primaries"
    standbys = [each for each in members if each not in primaries]
    if lagging := [each.name for each in standbys if each.state != "streaming"]:
        return f"not streaming: {', '.join(lagging)}"
    if not any(each.role.endswith("_standby") for each in standbys):
        return "no standby counts for commits"
    if len({each.timeline for each in members}) > 1:
        return "not all are on one timeline"
    return ""


def _member(each: dict[str, Any]) -> Member:
    timeline = each.get("timeline")
    return Member(
        name=each["name"],
        host=each.get("host", ""),
        role=each["role"],
        state=each["state"],
        timeline=timeline if isinstance(timeline, int) else 0,
    )


def opened(request: str | urllib.request.Request, seconds: float) -> Any:
    """Raises OSError, also for an answer other than 2xx."""
    return urllib.request.urlopen(request, timeout=seconds)  # noqa: S310 plan.py: HTTP alone


def _json(url: str) -> Any:
    """Returns the JSON of an answer, whichever its status. Raises OSError, ValueError."""
    try:
        with opened(url, _PATIENCE_S) as answer:
            return json.load(answer)
    except HTTPError as refusal:
        return json.load(refusal)
