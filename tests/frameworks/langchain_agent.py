"""LangChain: an agent as people write it, and a tool that the model must call."""

import json
import sys

from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI


@tool
def get_weather(city: str) -> str:
    """Returns the weather of a city."""
    return f"It is sunny in {city}, 18 degrees."


url, key, name = sys.argv[1:]
model = ChatOpenAI(
    model=name, base_url=url, api_key=key, temperature=0, max_completion_tokens=60, max_retries=0
)
question = HumanMessage("What is the weather in Paris?")
forced = model.bind_tools([get_weather], tool_choice="get_weather").invoke([question])
[call] = forced.tool_calls
result = ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])
answered = model.bind_tools([get_weather]).invoke([question, forced, result])
streamed = [chunk.text for chunk in model.stream("Say hi.")]
agent = create_agent(model, tools=[get_weather])
ended = agent.invoke({"messages": [question]}, {"recursion_limit": 25})
report = {
    "calls": [[call["name"], sorted(call["args"])]],
    "after_result": bool(answered.text or answered.tool_calls),
    "streamed": bool("".join(streamed)),
    "agent": len(ended["messages"]) > 1,
}
print(json.dumps(report))
