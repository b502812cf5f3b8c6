"""Batches of a few lines, read back from their output files."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import aiohttp

from config.drills.doors.rest import Hosts
from config.drills.load import Refused

LINES = 4
_EVERY_S = 0.5
_OVER = ("completed", "failed", "expired", "cancelled")


class Batch:
    name = "batch"
    size = LINES

    def __init__(self, hosts: Hosts, model: str) -> None:
        self._hosts, self._model = hosts, model

    async def ask(self, request: str) -> Sequence[str]:
        batch = await self._begun(request) or await self._begin(request)
        while batch["status"] not in _OVER:
            await asyncio.sleep(_EVERY_S)
            batch = await self._json(f"/v1/batches/{batch['id']}")
        if batch["status"] != "completed" or batch.get("error_file_id"):
            text = f"batch {batch['id']}: {batch['status']}, {batch['request_counts']}"
            raise Refused(text, began=True)
        response = await self._hosts.get(f"/v1/files/{batch['output_file_id']}/content")
        lines = [json.loads(line) for line in (await response.text()).splitlines()]
        return [str(UUID(line["response"]["request_id"])) for line in lines]

    async def _begun(self, request: str) -> dict[str, Any] | None:
        """Returns the batch of an earlier attempt whose answer was lost."""
        listed = await self._json("/v1/batches?limit=20")
        for batch in listed["data"]:
            if (batch.get("metadata") or {}).get("drill") == request:
                return dict(batch)
        return None

    async def _begin(self, request: str) -> dict[str, Any]:
        form = aiohttp.FormData({"purpose": "batch"})
        form.add_field("file", self._lines(request), filename="drill.jsonl")
        file = await (await self._hosts.post("/v1/files", data=form)).json()
        fields = {
            "input_file_id": file["id"],
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "metadata": {"drill": request},
        }
        batch: dict[str, Any] = await (await self._hosts.post("/v1/batches", json=fields)).json()
        return batch

    def _lines(self, request: str) -> bytes:
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": "Say hello."}],
            "max_tokens": 8,
        }
        line = {"method": "POST", "url": "/v1/chat/completions", "body": body}
        return b"".join(
            json.dumps({"custom_id": f"{request} {number}", **line}).encode() + b"\n"
            for number in range(LINES)
        )

    async def _json(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = await (await self._hosts.get(path)).json()
        return answer

    async def close(self) -> None:
        await self._hosts.close()
