"""`previous_response_id` and references to items: a request continues earlier responses.

Each response is stored with its whole input, so that deleting an earlier one leaves later ones
whole.
"""

from typing import Any
from uuid import UUID, uuid4

import orjson

from inference.api.call import Call
from inference.api.responses import output
from inference.api.responses.items import REFERENCE, Item
from inference.api.responses.stored import resource
from inference.errors import BadRequest, NotFound, must_be
from inference.order import Stored
from inference.stored_responses import limits
from inference.stored_responses.limits import PARAM
from inference.validation.schemas import Body
from tenants.caller import Caller


async def earlier_items(call: Call, caller: Caller, response_id: Any, length: int) -> list[Item]:
    """Returns the items of a response and of those before it: each input, then its output.

    Their memory counts beside the `length` bytes of the body, until `Call.release_body`. Raises
    BadRequest, NotFound, and the errors of `Call.hold`.
    """
    if not isinstance(response_id, str):
        raise must_be(PARAM, "the id of a response")
    refusal = NotFound(
        "there is no such response to continue", code="previous_response_not_found", param=PARAM
    )
    row = await resource.own(call, caller, response_id, refusal=refusal)
    await call.hold(length + row.size)
    response = await resource.read(row, refusal)
    if response.answer is None:
        what = "is still being written" if response.is_open else "failed, or was cancelled"
        raise BadRequest(
            f"the response to continue {what}", code="previous_response_not_completed", param=PARAM
        )
    return [*response.items, *resource.of_answer(response)["output"]]


async def referenced(call: Call, caller: Caller, listed: Any, length: int) -> dict[str, Item]:
    """Returns the items of stored responses that an input names, by id; unknown ones are left out.

    Raises BadRequest for too many responses, and the errors of `Call.hold`.
    """
    responses = _responses_named(listed)
    if len(responses) > limits.MOST_REFERENCED:
        most = f"items of {limits.MOST_REFERENCED} stored responses at most"
        raise BadRequest(f"`input` may refer to {most}", param="input")
    items = dict[str, Item]()
    for response in responses:
        try:
            row = await resource.own(call, caller, output.response_id(response))
            await call.hold(length := length + row.size)
            own = await resource.read(row)
        except NotFound:
            continue
        if own.answer is not None:
            items |= {item["id"]: item for item in resource.of_answer(own)["output"]}
    return items


def _responses_named(listed: Any) -> list[UUID]:
    """Returns the responses whose output items an input refers to, each once."""
    items = (item for item in listed if isinstance(item, dict)) if isinstance(listed, list) else ()
    named = [str(item.get("id")) for item in items if _is_reference(item)]
    responses = (output.completion_id(identity) for identity in named)
    return list(dict.fromkeys(response for response in responses if response))


def _is_reference(item: Body) -> bool:
    return item.get("type") == REFERENCE or ("type" not in item and "role" not in item)


def stored(
    items: list[Item], head: Body, *, packs_thoughts: bool = False, background: bool = False
) -> Stored:
    """Returns what a request keeps for its response. Raises BadRequest for too much of it."""
    made_with = {"head": head, "packs_thoughts": packs_thoughts}
    rest = Stored(orjson.dumps(_with_own_ids(items)), orjson.dumps(made_with), background)
    return limits.check(len(items), rest)


def _with_own_ids(items: list[Item]) -> list[Item]:
    """Returns the items, each with an id that no other has: pages begin behind an id."""
    ids, own = set[str](), list[Item]()
    for item in items:
        if item["id"] in ids:
            item = {**item, "id": f"{item['id'].partition('_')[0][:16]}_{uuid4().hex}"}
        ids.add(item["id"])
        own.append(item)
    return own
