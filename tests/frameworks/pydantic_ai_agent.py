"""Pydantic AI: an agent as people write it, and an output that the model gives by a tool."""

import json
import sys
from typing import Annotated

from pydantic import BaseModel, StringConstraints
from pydantic_ai import Agent, ToolOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import UsageLimits


class City(BaseModel):
    city: Annotated[str, StringConstraints(max_length=12)]


def get_weather(city: str) -> str:
    """Returns the weather of a city."""
    return f"It is sunny in {city}, 18 degrees."


url, key, name = sys.argv[1:]
model = OpenAIChatModel(name, provider=OpenAIProvider(base_url=url, api_key=key))
settings = ModelSettings(temperature=0, max_tokens=60)
question = "What is the weather in Paris?"
shaped = Agent(model, output_type=ToolOutput(City, name="get_city"), model_settings=settings)
forced = shaped.run_sync("Which city is the capital of France?")
calls = [part for message in forced.all_messages() for part in message.parts]
names = [part.tool_name for part in calls if part.part_kind == "tool-call"]
more = Agent(model, model_settings=settings).run_sync("Why?", message_history=forced.all_messages())
agent = Agent(model, tools=[get_weather], model_settings=settings)
ended = agent.run_sync(question, usage_limits=UsageLimits(request_limit=10))
report = {
    "calls": [[name, sorted(forced.output.model_dump())] for name in names],
    "after_result": bool(more.output),
    "streamed": bool(agent.run_stream_sync("Say hi.").get_output()),
    "agent": bool(ended.output),
}
print(json.dumps(report))
