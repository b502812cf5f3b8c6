"""Patroni's REST API: the state of a cluster, and a planned switch-over."""

import base64
import json
import re
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
# Names and hosts become words of commands, on other hosts too.
_PLAIN = re.compile(r"[0-9A-Za-z_.:][0-9A-Za-z_.:-]*")


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
        _, answer = self._asked()
        return [_member(each) for each in answer["members"]], bool(answer.get("pause"))

    def _asked(self) -> tuple[str, dict[str, Any]]:
        """Returns the first URL whose Patroni knows the cluster, and what it knows."""
        problem: Exception = OSError("no Patroni is named")
        for url in self._access.urls:
            try:
                answer = _json(f"{url}/cluster")
            except (OSError, ValueError) as error:
                problem = error
                continue
            if isinstance(answer, dict) and "members" in answer:  # one without etcd has no such
                return url, answer
            problem = OSError(f"{url} knows no cluster")
        raise OSError(str(problem))

    def problem(self) -> str:
        """Returns what is not as it should be, "" if nothing is."""
        try:
            members, paused = self.members()
        except (OSError, KeyError) as error:
            return f"Patroni does not answer: {error}"
        return "Patroni is paused" if paused else whole(members) or self._missing(members)

    def _missing(self, members: Sequence[Member]) -> str:
        """Returns who is not there: Patroni forgets a server that is away."""
        names = {each.name for each in members}
        if absent := sorted(set(self._access.zones) - names):
            return f"not there: {', '.join(absent)}"
        servers = len(set(self._access.urls))
        return f"{len(names)} of {servers} servers are there" if len(names) < servers else ""

    def primary(self) -> Member:
        """Raises OSError where there is none."""
        members, _ = self.members()
        for each in members:
            if each.role in _PRIMARIES:
                return each
        raise OSError("there is no primary")

    def primary_name(self) -> str:
        """Returns its name, "" while there is none."""
        try:
            return self.primary().name
        except (OSError, KeyError):
            return ""

    def values(self) -> dict[str, str]:
        """Returns the words for a plan's commands. Raises OSError for odd ones."""
        primary = self.primary()
        if odd := [word for word in (primary.name, primary.host) if not _PLAIN.fullmatch(word)]:
            raise OSError(f"{odd[0]!r} is no name of a server")
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
        url, answer = self._asked()
        members = [_member(each) for each in answer["members"]]
        standbys = [each.name for each in members if each.role.endswith("_standby")]
        if not standbys:
            raise OSError("no standby counts for commits")
        primary = self.primary().name
        body = json.dumps({"leader": primary, "candidate": standbys[0]}).encode()
        request = urllib.request.Request(f"{url}/switchover", body, method="POST")  # noqa: S310 as below
        request.add_header("Authorization", f"Basic {self._token()}")
        try:
            opened(request, _SWITCH_S).close()
        except HTTPError as refusal:
            reason = refusal.read().decode(errors="replace").strip()
            raise OSError(f"Patroni does not switch over: {refusal.code} {reason[:200]}") from None
        return f"{primary} to {standbys[0]}"

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
