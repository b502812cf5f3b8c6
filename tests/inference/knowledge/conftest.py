"""A knowledge base of acme, before an engine whose vectors follow from the words of a text."""

import asyncio
import base64
import math
import struct
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.db import connections

from inference.api.knowledge import driver
from inference.knowledge import creating, deleting, search_words, uploading
from inference.knowledge.searching import Cited, search
from inference.models import Document, DocumentFormat, KnowledgeBase
from tenants.models import ApiKey
from tests.inference.running import until
from tests.inference.vectors.conftest import House, VectorEngine, engine, house

__all__ = ["engine", "house"]
in_database = database_sync_to_async
PATIENCE_S = 60.0
DIMENSIONS = 64


def vector_of(text: str) -> list[float]:
    """Returns the sum of a direction for each word, of length 1: texts of like words are alike."""
    numbers = [1e-6] * DIMENSIONS
    for word, count in search_words.counted(text).items():
        for place, byte in enumerate(sha256(word.encode()).digest() * 2):
            numbers[place] += count * (byte - 127.5)
    length = math.hypot(*numbers)
    return [number / length for number in numbers]


def answer_to(body: dict[str, Any]) -> dict[str, Any]:
    packed = [struct.pack(f"<{DIMENSIONS}f", *vector_of(text)) for text in body["input"]]
    encoded = [base64.b64encode(vector).decode() for vector in packed]
    data = [{"index": index, "embedding": vector} for index, vector in enumerate(encoded)]
    return {"object": "list", "data": data, "usage": {"prompt_tokens": 8 * len(data)}}


@dataclass
class Library:
    """A base, and the words of tests for what is done with it."""

    house: House
    base: KnowledgeBase
    key: ApiKey

    @property
    def engine(self) -> VectorEngine:
        return self.house.engine

    @property
    def embedded(self) -> list[str]:
        """Returns the texts that the engine was asked for, in their order."""
        return [text for _path, body in self.engine.asked for text in body["input"]]

    async def upload(
        self, name: str, content: str | bytes, form: str = "markdown", url: str = ""
    ) -> Document:
        raw = content.encode() if isinstance(content, str) else content
        store = in_database(uploading.store)
        kind = DocumentFormat(form)
        return await store(self.base, name, kind, raw, url, caller=self.key, by=self.key.actor)

    async def add(self, name: str, content: str | bytes, form: str = "markdown") -> Document:
        """Upload a document, and wait until it is ready or has failed."""
        return await self.read(await self.upload(name, content, form))

    async def read(self, document: Document) -> Document:
        async def over() -> bool:
            await drive()
            await in_database(document.refresh_from_db)()
            return not document.is_moving

        await until(over, PATIENCE_S)
        return document

    async def search(self, query: str, most: int = 5) -> list[Cited]:
        base = self.base
        return await search(base.pk, base.tenant_id, query, vector_of(query), most)

    async def names(self) -> list[str]:
        rows = self.base.documents.present().order_by("name")
        return await in_database(lambda: list(rows.values_list("name", flat=True)))()


async def drive() -> None:
    """Run in a thread without a loop, as a task does."""
    await asyncio.get_running_loop().run_in_executor(None, _drive)


def _drive() -> None:
    try:
        driver.drive()
    finally:
        connections.close_all()


async def purge() -> None:
    await in_database(deleting.purge)()


@pytest.fixture
async def library(house: House) -> Library:
    house.engine.answer = answer_to
    base = await in_database(creating.create)(house.tenant, "manual", "vectors", by="test")
    key, _ = await in_database(ApiKey.issue)(house.tenant, "writer", by="test")
    return Library(house, base, key)
