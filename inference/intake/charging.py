"""The most that a request can cost, known before it runs: what it sets aside.

The body bounds the prompt's tokens (`engines/prompt_bound.py`), `max_tokens` the answer's, and
together they never exceed the model's context. Only of images and the like the body says nothing: a
prompt with such may fill the whole context. So no budget is overspent, and what was not used comes
back with the settlement; should one take more all the same, it is noticed there.
"""

import re
from collections.abc import Mapping

from inference.engines.base import Engine
from inference.engines.capabilities import MEDIA
from inference.validation.schemas import Body
from tenants.caller import Caller
from tenants.quotas.charge import Charge
from tenants.quotas.prices import Prices

ANSWER = 4096  # tokens of an answer under a budget, where the request sets no limit
# As orjson writes a part's type. In a text the quotes would be escaped.
_MEDIA = re.compile(b'"type":"(?:%b)"' % "|".join(MEDIA).encode())


def bound_answer(body: Body, caller: Caller, engine: Engine) -> None:
    """Sets `max_tokens` where a budget counts tokens and the request is open-ended.

    Else the whole context would have to be set aside for each.
    """
    if body.get("max_tokens") or body.get("max_completion_tokens"):
        return
    name, context = engine.config.name, engine.context_length
    if any(quota.unit != "requests" and quota.model in ("", name) for quota in caller.quotas):
        body["max_tokens"] = min(ANSWER, context // 2)


def charge(
    caller: Caller,
    engine: Engine,
    prices: Prices,
    *,
    body: bytes,
    chat: bool,
    max_tokens: int | None,
    elsewhere: Mapping[str, Prices] = {},
) -> Charge:
    """For the body as the engine will get it; without `max_tokens` up to the context's end.

    `prices`: of the pool that it is routed to. `elsewhere`: of the pools that it may reach, too.
    """
    context = engine.context_length
    longest = context if _MEDIA.search(body) else engine.prompt_bound(body, chat=chat)
    tokens = min(longest, context), min(max_tokens or context, context)
    prompt, answer = _fitting(*tokens, context, prices)
    others = {pool: held for pool, held in elsewhere.items() if held != prices}
    return Charge(
        api_key_id=caller.api_key_id,
        member_id=caller.member_id or caller.maker_id,
        team_id=caller.team_id,
        prompt_tokens=prompt,
        completion_tokens=answer,
        prompt_price=prices.prompt,
        cached_price=prices.cached,
        completion_price=prices.completion,
        elsewhere=others,
        most_elsewhere=max(
            (held.most(*_fitting(*tokens, context, held)) for held in others.values()), default=0
        ),
    )


def _fitting(prompt: int, answer: int, context: int, prices: Prices) -> tuple[int, int]:
    """The dearer ones first, as far as both fit."""
    if prices.completion >= max(prices.prompt, prices.cached):
        return min(prompt, context - answer), answer
    return prompt, min(answer, context - prompt)
