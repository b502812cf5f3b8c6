"""From a question on the page to a request in the queue."""

import asyncio
from uuid import UUID

import orjson

from inference.chat import asking, prompt
from inference.chat.asking import Asked
from inference.chat.protocol import Send
from inference.chat.refusal import Refused
from inference.chat.threads import off_loop
from inference.intake import allowed
from inference.intake.gateway import OutOfService, gateway
from tenants.caller import Caller
from tenants.models import Member

_on_their_way: set[asyncio.Task[Asked]] = set()


async def submit(caller: Caller, member: Member, send: Send, client_ip: str) -> Asked:
    """Goes through even when the socket is lost meanwhile: half a question helps nobody.

    Raises Refused, NotAdmitted, OutOfService.
    """
    task = asyncio.create_task(_submit(caller, member, send, client_ip))
    _on_their_way.add(task)
    task.add_done_callback(_arrived)
    return await asyncio.shield(task)


def _arrived(task: asyncio.Task[Asked]) -> None:
    _on_their_way.discard(task)
    if not task.cancelled():
        task.exception()  # whoever still waits for it has it


async def _submit(caller: Caller, member: Member, send: Send, client_ip: str) -> Asked:
    if before := await off_loop(member, asking.asked_before)(member, send.message):
        return before
    try:
        engine = allowed.engine_for(caller, send.model)
    except allowed.NoSuchModel as unknown:
        if unknown.hidden:
            gateway().denied(caller, "chat", unknown.name, client_ip)
        raise Refused("model_not_found") from None
    earlier = await off_loop(member, asking.earlier)(member, send)
    body, left_out = prompt.fitted(earlier, send.text, engine)
    estimate = prompt.estimate(body)
    asked: list[Asked] = []

    async def put(completion_id: UUID) -> None:
        asked.append(await off_loop(member, asking.put)(member, send, completion_id, left_out))

    try:
        order, _, _ = await gateway().submit(
            caller,
            engine,
            body=orjson.dumps(engine.prepare(body, chat=True)),
            route="chat",
            chat=True,
            stream=True,
            include_usage=True,
            detached=True,
            estimate=estimate,
            max_tokens=body["max_tokens"],
            client_ip=client_ip,
            before_queue=put,
        )
    except OutOfService:
        if not asked:
            raise
        return asked[0]  # it is on record that the question did not run: so is its answer
    gateway().leave(order)  # readers follow the kept events instead
    return asked[0]
