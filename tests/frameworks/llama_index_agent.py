"""LlamaIndex: an agent as people write it, and a tool that the model must call."""

import asyncio
import json
import sys

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike


def get_weather(city: str) -> str:
    """Returns the weather of a city."""
    return f"It is sunny in {city}, 18 degrees."


url, key, name = sys.argv[1:]
model = OpenAILike(
    model=name,
    api_base=url,
    api_key=key,
    is_chat_model=True,
    is_function_calling_model=True,
    context_window=2048,
    max_tokens=60,
    max_retries=0,
    temperature=0,
)
tool = FunctionTool.from_defaults(get_weather)
question = "What is the weather in Paris?"
forced = model.chat_with_tools([tool], user_msg=question, tool_required=True)
[call] = model.get_tool_calls_from_response(forced)
result = ChatMessage(
    role="tool",
    content=str(tool(**call.tool_kwargs)),
    additional_kwargs={"tool_call_id": call.tool_id},
)
history = [ChatMessage(role="user", content=question), forced.message, result]
answered = model.chat_with_tools([tool], chat_history=history)
streamed = [chunk.delta or "" for chunk in model.stream_chat([ChatMessage("Say hi.")])]


async def run() -> str:
    agent = FunctionAgent(tools=[tool], llm=model)
    return str(await agent.run(question, max_iterations=10, early_stopping_method="generate"))


report = {
    "calls": [[call.tool_name, sorted(call.tool_kwargs)]],
    "after_result": answered.message is not None,
    "streamed": bool("".join(streamed)),
    "agent": bool(asyncio.run(run())),
}
print(json.dumps(report))
