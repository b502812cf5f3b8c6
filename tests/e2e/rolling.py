"""Web processes that share a socket which somebody holds, as systemd does; and people who ask."""

import os
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.e2e.ask import body
from tests.e2e.conftest import Platform

CHAT = "/v1/chat/completions"
_FIRST = 3  # sd_listen_fds(3)
_START = 'LISTEN_PID=$$ exec "$@"'


class Held:
    """A socket unit. Nobody accepts before the first process does."""

    def __init__(self, platform: Platform, folder: Path) -> None:
        self._platform, self._folder, self._count = platform, folder, 0
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._socket.getsockname()[1]
        self._told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._told.bind(str(folder / "notify"))
        self._told.settimeout(120)

    def start(self) -> subprocess.Popen[bytes]:
        """One more process; returns when it has said that it is ready."""
        self._count += 1
        with (self._folder / f"web.{self._count}.log").open("wb") as log:
            process = subprocess.Popen(
                ["/bin/sh", "-c", _START, "sh", sys.executable, "-m", "config.command", "web"],
                env=self._variables(),
                stdout=log,
                stderr=log,
                pass_fds=(_FIRST,),
                preexec_fn=self._pass_on,
            )
        assert self._told.recv(100) == b"READY=1"
        return process

    def _pass_on(self) -> None:
        os.dup2(self._socket.fileno(), _FIRST)

    def _variables(self) -> dict[str, str]:
        ours = {"LISTEN_FDS": "1", "NOTIFY_SOCKET": str(self._folder / "notify")}
        ours |= {"FOREBAY_PORT": str(self.port), "FOREBAY_METRICS_PORT": "0"}
        told = {**self._platform.env, **self._platform.running(), **ours}
        return told | {"FOREBAY_PUBLIC_URL": f"http://localhost:{self.port}"}

    def stopped(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        assert self._told.recv(100) == b"STOPPING=1"
        process.wait(60)

    def close(self) -> None:
        self._socket.close()
        self._told.close()


class People:
    """Ask all the time: over kept connections and new ones, in one piece and streamed."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._headers = url, {"Authorization": f"Bearer {key}"}
        self._over = threading.Event()
        self.answered: Counter[str] = Counter()
        self.failed: list[str] = []
        kinds = ("kept", "kept", "kept streams", "kept streams", "new", "new streams")
        self._threads = [threading.Thread(target=self._ask, args=[kind]) for kind in kinds]

    def _ask(self, kind: str) -> None:
        while not self._over.is_set():
            with httpx.Client(base_url=self._url, headers=self._headers, timeout=60) as client:
                self._once(client, kind)
                while "kept" in kind and not self._over.is_set():
                    self._once(client, kind)

    def _once(self, client: httpx.Client, kind: str) -> None:
        streamed = "streams" in kind
        try:
            answer = client.post(CHAT, json=body(max_tokens=16, stream=streamed))
        except httpx.HTTPError as error:
            self.failed.append(f"{kind}: {error!r}")
            return
        whole = "data: [DONE]" in answer.text if streamed else '"usage"' in answer.text
        if answer.status_code == 200 and whole:
            self.answered[kind] += 1
        else:
            self.failed.append(f"{kind}: {answer.status_code} {answer.text[-200:]}")

    def wait_for_more(self, count: int = 5) -> None:
        """Of each kind."""
        until = {kind: self.answered[kind] + count for kind in ("kept", "kept streams", "new")}
        until["new streams"] = self.answered["new streams"] + count
        while any(self.answered[kind] < number for kind, number in until.items()):
            assert not self.failed, self.failed
            self._over.wait(0.05)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)


@contextmanager
def held(platform: Platform, folder: Path) -> Iterator[Held]:
    found = Held(platform, folder)
    try:
        yield found
    finally:
        found.close()


@contextmanager
def people(port: int, key: str) -> Iterator[People]:
    found = People(f"http://127.0.0.1:{port}", key)
    found.start()
    try:
        yield found
    finally:
        found.end()
