"""OpenAI's agents SDK in its default mode: the Responses API, with a tool and a session."""

import asyncio
import json
import sys

from agents import (
    Agent,
    ModelSettings,
    Runner,
    function_tool,
    set_default_openai_client,
    set_tracing_disabled,
)
from openai import AsyncOpenAI

CALLS = []


@function_tool
def get_weather(city: str) -> str:
    """Returns the weather of a city."""
    CALLS.append(["get_weather", ["city"]])
    return f"It is sunny in {city}, 18 degrees."


url, key, name = sys.argv[1:]
set_tracing_disabled(True)
set_default_openai_client(AsyncOpenAI(base_url=url, api_key=key))
forced = ModelSettings(temperature=0, max_tokens=60, tool_choice="required")
agent = Agent(name="weather", model=name, tools=[get_weather], model_settings=forced)
plain = Agent(name="plain", model=name, model_settings=ModelSettings(max_tokens=30))


async def report() -> dict[str, object]:
    ended = await Runner.run(agent, "What is the weather in Paris?", max_turns=4)
    history = [*ended.to_input_list(), {"role": "user", "content": "Why?"}]
    more = await Runner.run(plain, history)
    running = Runner.run_streamed(plain, "Say hi.")
    async for _ in running.stream_events():
        pass
    return {
        "calls": CALLS[:1],
        "after_result": bool(more.final_output),
        "streamed": bool(running.final_output),
        "agent": bool(ended.final_output),
    }


print(json.dumps(asyncio.run(report())))
