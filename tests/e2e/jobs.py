"""A tenant that runs jobs, with the scripted trainer in the place of the real one."""

import json
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.conftest import Platform

SCOPES = "inference", "management:read", "management:write"


class JobTenant:
    """`diary`: where the trainers of its jobs write what they do."""

    def __init__(self, platform: Platform, name: str, diary: Path) -> None:
        self._platform, self._name, self.diary = platform, name, diary
        options = [word for scope in SCOPES for word in ("--scope", scope)]
        platform.manage("create_tenant", name, "--requests-per-minute", "0", "--burst", "0")
        created = platform.manage("create_api_key", name, "--name", "jobs", *options, "--json")
        self._key = str(json.loads(created)["api_key"])

    def call(self, method: str, path: str, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {self._key}"}
        url = self._platform.url + path
        answer = httpx.request(method, url, headers=headers, timeout=60, **more)
        assert answer.is_success, answer.text
        return answer.json()

    def begin(self, kind: str, *, base: str = "", **parameters: Any) -> str:
        """Returns the id of a job over a small file."""
        file = ("texts.jsonl", b'{"text": "a page"}\n' * 5)
        upload = self.call("POST", "/v1/files", files={"file": file}, data={"purpose": "fine-tune"})
        wanted = {"kind": kind, "training_file": upload["id"]}
        wanted |= {"parameters": {"diary": str(self.diary), **parameters}}
        if base:
            wanted["base"] = base
        job = self.call("POST", f"/api/v1/tenants/{self._name}/jobs/", json=wanted)
        return str(job["id"])

    def job(self, job: str) -> Any:
        return self.call("GET", f"/api/v1/tenants/{self._name}/jobs/{job}/")

    @property
    def steps(self) -> list[int]:
        """Returns the steps that trainers began, in their order."""
        lines = self.diary.read_text().splitlines() if self.diary.exists() else []
        return [int(line.split()[1]) for line in lines if line.startswith("begins")]
