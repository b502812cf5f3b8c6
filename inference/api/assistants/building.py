"""Builds a version: embeds its examples in portions, then trains and measures its classifier."""

import asyncio
import os
from typing import Any

import msgspec
from channels.db import database_sync_to_async

from inference.api.assistants.callers import LEAST_WAIT_S, Refused, Wait, caller_of
from inference.api.assistants.writing import embedding_version
from inference.api.refusals import REFUSALS, as_error
from inference.assistants.grouping import Example, examples
from inference.assistants.training import Figures, cross_validated, train
from inference.assistants.understanding import Classifier, WrongVector
from inference.intake.context import Context
from inference.intake.errors import NotAdmitted
from inference.knowledge.embedding import BATCH, embed
from inference.models import AssistantVersion
from tenants.caller import Caller

in_database = database_sync_to_async
Vectors = list[list[float]]


async def build(context: Context, version: AssistantVersion) -> None:
    """Build it, let it wait, or note why it cannot be built."""
    try:
        await _built(context, version)
    except Wait as wait:
        await in_database(version.wait)(wait.seconds)
    except Refused as refused:
        await in_database(version.fail_build)(refused.code)


async def _built(context: Context, version: AssistantVersion) -> None:
    """Raises Wait, Refused."""
    caller = await caller_of(context, version)
    spec = await in_database(lambda: version.spec)()
    listed = examples(spec)
    model, before = spec.embedding_model, embedding_version(version.tenant_id, spec.embedding_model)
    vectors = await _vectors(context, caller, version, listed, model)
    if embedding_version(version.tenant_id, model) != before:
        raise Wait(LEAST_WAIT_S)  # half of the vectors may be of another model
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


async def _vectors(
    context: Context, caller: Caller, version: AssistantVersion, listed: list[Example], model: str
) -> Vectors:
    """Returns the embeddings of all examples. Raises Wait, Refused."""
    vectors: Vectors = []
    for start in range(0, len(listed), BATCH):
        texts = [example.text for example in listed[start : start + BATCH]]
        vectors += await embedded(context, caller, model, texts)
        await in_database(version.note_progress)(len(vectors))
    return vectors


async def embedded(context: Context, caller: Caller, model: str, texts: list[str]) -> Vectors:
    """Returns the embeddings of texts. Raises Wait, Refused."""
    try:
        return await embed(context, caller, model, texts)
    except NotAdmitted as refused:
        if refused.admission.never_fits:
            raise Refused(as_error(refused).code) from None
        raise Wait(refused.admission.frees_in_ms / 1_000) from None
    except REFUSALS as refusal:
        error = as_error(refusal)
        if error.status == 429 or error.status >= 500:
            raise Wait(error.retry_after or LEAST_WAIT_S) from None
        raise Refused(error.code) from None
