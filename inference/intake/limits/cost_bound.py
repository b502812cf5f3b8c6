"""Bounds what a request can cost before it runs, which is reserved.

The body bounds the prompt's tokens (`engines/prompt_bound.py`), `max_tokens` the answer's, and
together they never exceed the model's context. The body does not bound images and other media: a
prompt with them may fill the whole context. So no budget is overspent, and the settlement releases
the unused part; it reports a request that took more all the same.
"""

import re
from collections.abc import Mapping

from inference.engines.base import Engine
from inference.engines.capabilities import MEDIA
from inference.engines.choices import ONE, Several
from inference.validation.schemas import Body
from tenants.caller import Caller
from tenants.quotas.charge import Charge, Prices

BY_TOKENS = ("tokens", "cost")  # units of quotas that an answer can exceed
ANSWER = 4096  # tokens of an answer under a budget, without a limit of the request
# As orjson writes a part's type. In a text the quotes would be escaped.
_MEDIA = re.compile(b'"type":"(?:%b)"' % "|".join(MEDIA).encode())


def bound_answer(body: Body, caller: Caller, engine: Engine) -> None:
    """Set `max_tokens` if a budget counts tokens and the request has no limit.

    Otherwise each request would have to reserve the whole context.
    """
    if body.get("max_tokens") or body.get("max_completion_tokens"):
        return
    name, context = engine.config.name, engine.context_length
    if any(quota.unit in BY_TOKENS and quota.model in ("", name) for quota in caller.quotas):
        body["max_tokens"] = min(ANSWER, context // 2)


def charge(
    caller: Caller,
    engine: Engine,
    prices: Prices,
    *,
    body: bytes,
    chat: bool,
    max_tokens: int | None,
    reserve: tuple[int, int] | None = None,
    elsewhere: Mapping[str, Prices] = {},
    several: Several = ONE,
) -> Charge:
    """Returns the charge of a prepared body; without `max_tokens` up to the context's end.

    `prices` are those of its pool, `elsewhere` those of the other pools that it may reach.
    `reserve` bounds long work, which asks an engine many times. Each of `several` prompts and
    answers may fill a context.
    """
    context = engine.context_length
    if reserve:
        tokens, context = reserve, sum(reserve)
    else:
        room = context * several.prompts
        longest = room if _MEDIA.search(body) else engine.prompt_bound(body, chat=chat)
        answers = min(max_tokens or context, context) * several.prompts
        tokens, context = (min(longest, room), answers), room
    prompt, answer = _fitting(*tokens, context, prices, several)
    others = {pool: other for pool, other in elsewhere.items() if other != prices}
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
            (other.most(*_fitting(*tokens, context, other, several)) for other in others.values()),
            default=0,
        ),
    )


def _fitting(
    prompt: int, answer: int, context: int, prices: Prices, several: Several
) -> tuple[int, int]:
    """Returns the tokens of prompts and answers that cost most and fit into the context.

    Each prompt is read and answered as often as `several` says.
    """
    reads, each = several.reads, several.each
    if prices.completion * each >= max(prices.prompt, prices.cached) * reads:
        return min(prompt, context - answer) * reads, answer * each
    return prompt * reads, min(answer, context - prompt) * each
