"""A platform with engines of the bundled model on this machine, which lends them to a real job."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from bench.servers.child import REPOSITORY
from bench.servers.forebay import Forebay, forebay_on
from config.supervisor.engines.embedded_engine import bundled_model

MODEL, POOL, TENANT, BASE = "small", "small", "trainers", "smollm2-135m"
SLOTS, CONTEXT, HOLD_S = 16, 512, 60
JOB = {"epochs": 1000, "learning_rate": 1e-4, "batch": 4, "length": 128, "save_every": 5}
SCOPES = ("inference", "management:read", "management:write")


class Fleet:
    """A platform with a tenant whose jobs take what the requests leave."""

    def __init__(self, forebay: Forebay) -> None:
        self.forebay = forebay
        forebay.manage("register_model", BASE)
        forebay.manage("create_tenant", TENANT)
        scopes = [word for scope in SCOPES for word in ("--scope", scope)]
        key = json.loads(
            forebay.manage("create_api_key", TENANT, "--name", "jobs", *scopes, "--json")
        )
        self._http = httpx.Client(
            base_url=f"http://127.0.0.1:{forebay.port}",
            headers={"Authorization": f"Bearer {key['api_key']}"},
            timeout=60,
        )
        self._jobs: list[str] = []

    def close(self) -> None:
        self._http.close()

    def begin_jobs(self, count: int) -> None:
        """Begin trainings that are never through."""
        pages = sorted((REPOSITORY / "docs").rglob("*.md"))
        lines = "".join(json.dumps({"text": page.read_text()}) + "\n" for page in pages)
        file = ("pages.jsonl", lines.encode())
        upload = self._call(
            "POST", "/v1/files", files={"file": file}, data={"purpose": "fine-tune"}
        )
        job = {"kind": "pretrain", "base": BASE, "training_file": upload["id"], "parameters": JOB}
        path = f"/api/v1/tenants/{TENANT}/jobs/"
        self._jobs = [self._call("POST", path, json=job)["id"] for _ in range(count)]

    def end_jobs(self) -> float:
        """Cancel the jobs. Returns the seconds for which they had an engine's hardware.

        Their time is known once their orders are settled.
        """
        paths = [f"/api/v1/tenants/{TENANT}/jobs/{job}/" for job in self._jobs]
        for path in paths:
            self._call("POST", f"{path}cancel/")
        wait_until(self._are_jobs_settled, 120)
        return sum(float(self._call("GET", path)["gpu_ms"]) for path in paths) / 1000

    def _are_jobs_settled(self) -> bool:
        return not self.forebay.rows("select 1 from inference_job where order_id is not null")

    def serves_whole(self) -> bool:
        """Returns whether no engine is lent, rests or starts."""
        rows = self.forebay.rows(
            "select 1 from inference_engine where lent_since is not null or draining "
            "or starting_since is not null"
        )
        return not rows

    def _call(self, method: str, path: str, **more: Any) -> Any:
        return self._http.request(method, path, **more).raise_for_status().json()


@contextmanager
def fleet(engines: int, lending: dict[str, Any], trainer: Path) -> Iterator[Fleet]:
    """It runs while the context lasts.

    `lending`: as in the option of a pool; `trainer`: the Python with PyTorch.
    """
    server = {"launch": {"model": str(bundled_model())}}
    pool = {
        "kind": "llama_cpp", "slots": SLOTS, "context_length": CONTEXT, "lending": lending,
        "engines": [server] * engines,
    }  # fmt: skip
    variables = {
        "FOREBAY_TRAINER_PYTHON": str(trainer),
        "FOREBAY_TRAINER_THREADS": "1",
        "FOREBAY_ENERGY_HOLD_S": str(HOLD_S),
    }
    with forebay_on({MODEL: {"pools": {POOL: pool}}}, variables=variables) as forebay:
        running = Fleet(forebay)
        try:
            wait_until(running.serves_whole, 300)
            yield running
        finally:
            running.close()


def wait_until(is_so: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s")
        time.sleep(1)
