"""Builds a version: embeds its examples in portions, then trains and measures its classifier.

Where a limit has no room for the next portion, the build waits, and this process keeps what is
embedded: no portion is paid for twice.
"""

import asyncio
import os
from collections import OrderedDict
from typing import Any
from uuid import UUID

import msgspec
from channels.db import database_sync_to_async

from inference.api import deferred
from inference.api.assistants.writing import embedding_version
from inference.api.deferred import Refused, Wait, caller_of, consequence
from inference.api.refusals import REFUSALS
from inference.assistants.example_groups import Example, examples
from inference.assistants.training import Figures, cross_validated, train
from inference.assistants.understanding import Classifier, WrongVector
from inference.intake.context import Context
from inference.knowledge.embedding import BATCH, embed
from inference.models import AssistantVersion
from tenants.caller import Caller

in_database = database_sync_to_async
Vectors = list[list[float]]
LONGEST_WAIT_S = 600.0
MOST_WAITING = 8  # builds whose vectors this process keeps
_waiting: OrderedDict[tuple[UUID, str], Vectors] = OrderedDict()  # by version, and its model's


async def build(context: Context, version: AssistantVersion) -> None:
    """Build it, let it wait, or note why it cannot be built."""
    try:
        await _built(context, version)
    except Wait as wait:
        await in_database(version.wait)(min(wait.seconds, LONGEST_WAIT_S))
    except Refused as refused:
        await in_database(version.fail_build)(refused.code)


async def _built(context: Context, version: AssistantVersion) -> None:
    """Raises Wait, Refused."""
    caller = await caller_of(context, version.api_key or version.member)
    spec = await in_database(lambda: version.spec)()
    listed = examples(spec)
    model, before = spec.embedding_model, embedding_version(version.tenant_id, spec.embedding_model)
    vectors = _waiting.pop((version.pk, before), [])
    try:
        await _embed_rest(context, caller, version, listed, vectors)
    except Wait:
        _keep((version.pk, before), vectors)
        raise
    if embedding_version(version.tenant_id, model) != before:
        raise Wait(deferred.LEAST_WAIT_S)  # half of the vectors may be of another model
    try:
        classifier, figures = await asyncio.to_thread(_learnt, listed, vectors, model, spec.sure)
    except WrongVector:
        raise Refused("useless_vectors") from None
    report: dict[str, Any] = msgspec.to_builtins(figures)
    await in_database(version.complete_build)(classifier, report, before)


def _learnt(
    listed: list[Example], vectors: Vectors, model: str, sure: float
) -> tuple[Classifier, Figures]:
    """Returns the classifier and its figures. It computes with one thread: engines need the rest.

    The variable counts where numpy is first imported.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    figures = cross_validated(listed, vectors, sure)
    return train(listed, vectors, model), figures


async def _embed_rest(
    context: Context,
    caller: Caller,
    version: AssistantVersion,
    listed: list[Example],
    vectors: Vectors,
) -> None:
    """Add the embeddings of those examples that have none yet. Raises Wait, Refused."""
    for start in range(len(vectors), len(listed), BATCH):
        texts = [example.text for example in listed[start : start + BATCH]]
        vectors += await embedded(context, caller, version.embedding_model, texts)
        await in_database(version.note_progress)(len(vectors))


def _keep(key: tuple[UUID, str], vectors: Vectors) -> None:
    _waiting[key] = vectors
    if len(_waiting) > MOST_WAITING:
        _waiting.popitem(last=False)


async def embedded(context: Context, caller: Caller, model: str, texts: list[str]) -> Vectors:
    """Returns the embeddings of texts. Raises Wait, Refused."""
    try:
        return await embed(context, caller, model, texts)
    except REFUSALS as refusal:
        raise consequence(refusal) from None
