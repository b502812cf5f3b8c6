"""Dialogues as rows, for tests that need no model."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from uuid import uuid4

from django.db import connection
from django.utils import timezone

from inference.assistants import state as states
from inference.assistants.state import State
from inference.models import Dialogue, DialogueMessage, DialogueTurn, Role
from inference.models.assistants.dialogue import Channel, Content
from tenants.models import Person, Tenant

T = TypeVar("T")


def apart(do: Callable[[], T]) -> T:
    """Run it where no event loop runs: Playwright's runs in the thread of browser tests."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return do()

    def closing() -> T:
        try:
            return do()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(closing).result()


def a_dialogue(tenant: Tenant, *texts: str, person: str = "customer 1", **fields: Any) -> Dialogue:
    """A dialogue in which the person wrote these texts."""
    dialogue: Dialogue = Dialogue(
        tenant=tenant,
        person=Person.objects.of(tenant.pk, person),
        assistant_id=uuid4(),
        version=1,
        channel=Channel.API,
        language="en",
        **fields,
    )
    dialogue.encrypt_state(states.packed(State(language="en")))
    dialogue.save(force_insert=True)
    for text in texts:
        dialogue.add(Role.PERSON, Content([text]))
    return dialogue


def writes(dialogue: Dialogue, text: str) -> DialogueTurn:
    """The assistant is in the middle of an answer."""
    question = dialogue.messages.get(number=dialogue.messages_count)
    answer: DialogueMessage = dialogue.add(Role.ASSISTANT, Content([text]), whole=False)
    return DialogueTurn.objects.create(
        tenant_id=dialogue.tenant_id,
        dialogue=dialogue,
        question=question,
        answer=answer,
        lease=uuid4(),
        leased_until=timezone.now(),
        deadline=timezone.now(),
    )
