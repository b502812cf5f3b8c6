"""The most that a request can cost, known before it runs: what it sets aside.

A token is at least one byte of text, and the JSON that carries the text is longer than the text:
so the body's length bounds the prompt's tokens, up to what the chat template adds (TEMPLATE).
Only of images and the like it says nothing: a prompt with such may fill the whole context.
Prompt and answer together never exceed the model's context. So no budget is overspent, and
little is set aside for nothing: what was not used comes back with the settlement.
"""

import re

from inference.engines.base import Engine
from inference.engines.capabilities import MEDIA
from inference.openai.schemas import Body
from tenants.caller import Caller
from tenants.charge import Charge
from tenants.price_list import Prices

TEMPLATE = 64  # tokens: a template's own words, beyond the JSON's that they stand for
ANSWER = 4096  # tokens of an answer under a budget, where the request sets no limit
# As orjson writes a part's type. In a text the quotes would be escaped.
_MEDIA = re.compile(b'"type":"(?:%b)"' % "|".join(MEDIA).encode())


def bound_answer(body: Body, caller: Caller, engine: Engine) -> None:
    """Sets `max_tokens` where a budget counts tokens and the request is open-ended.

    Else the whole context would have to be set aside for each.
    """
    if body.get("max_tokens") or body.get("max_completion_tokens"):
        return
    name, context = engine.config.name, engine.config.context_length
    if any(quota.unit != "requests" and quota.model in ("", name) for quota in caller.quotas):
        body["max_tokens"] = min(ANSWER, context // 2)


def charge(
    caller: Caller, engine: Engine, prices: Prices, *, body: bytes, max_tokens: int | None
) -> Charge:
    """For the body as the engine will get it; without `max_tokens` up to the context's end."""
    context = engine.config.context_length
    longest = context if _MEDIA.search(body) else len(body) + TEMPLATE
    prompt, answer = min(longest, context), min(max_tokens or context, context)
    # The dearer ones first, as far as both fit.
    if prices.completion >= max(prices.prompt, prices.cached):
        prompt = min(prompt, context - answer)
    else:
        answer = min(answer, context - prompt)
    return Charge(
        api_key_id=caller.api_key_id,
        member_id=caller.member_id or caller.maker_id,
        team_id=caller.team_id,
        prompt_tokens=prompt,
        completion_tokens=answer,
        prompt_price=prices.prompt,
        cached_price=prices.cached,
        completion_price=prices.completion,
    )
