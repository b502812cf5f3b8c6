"""The items of an answer, and the response that holds them, for whole answers and streams."""

import time
from typing import Any, NamedTuple
from uuid import UUID

from inference.api.responses import opaque, tools
from inference.codec.answer_translator import count
from inference.validation.schemas import Body

COMPLETED, INCOMPLETE, IN_PROGRESS = "completed", "incomplete", "in_progress"
FAILED, CANCELLED, QUEUED = "failed", "cancelled", "queued"
# The reason of an answer's end, and why a response is incomplete.
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_PREFIX = "resp_"


def response_id(completion: UUID) -> str:
    return f"{_PREFIX}{completion.hex}"


def completion_id(text: str) -> UUID | None:
    """Returns the completion of a response: of its id, or of the id of one of its items."""
    _, _, digits = text.rpartition("_")
    if len(digits) not in (32, 36):
        return None
    try:
        return UUID(digits if "-" in digits else digits[:32])
    except ValueError:
        return None


class Shape(NamedTuple):
    """The completion of a response, its head, and how it shows thoughts."""

    completion: UUID
    created_at: int
    head: Body
    packs_thoughts: bool = False

    @property
    def summarizes(self) -> bool:
        """Returns whether thoughts are in `summary`, for clients that read nothing else."""
        return bool(self.head["reasoning"]["summary"])

    @property
    def custom_names(self) -> frozenset[str]:
        return tools.custom_names(self.head["tools"])

    def item_id(self, prefix: str, index: int) -> str:
        return f"{prefix}_{self.completion.hex}{index:04x}"

    def response(self, status: str, **more: Any) -> Body:
        """Returns the response; `more` are output, usage, error, and why it is incomplete."""
        return {
            "id": response_id(self.completion),
            "object": "response",
            "created_at": self.created_at,
            "completed_at": int(time.time()) if status == COMPLETED else None,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "output": [],
            "usage": None,
            **self.head,
            **more,
        }

    def ended(self, finish_reason: str, output: list[Body], usage: Any) -> Body:
        """Returns the response of an answer that has ended by itself."""
        reason = _INCOMPLETE.get(finish_reason)
        details = {"reason": reason} if reason else None
        more = {"output": output, "usage": usage_of(usage), "incomplete_details": details}
        return self.response(status_of(finish_reason), **more)


def status_of(finish_reason: str) -> str:
    """Returns the status of a response and of its last item."""
    return INCOMPLETE if finish_reason in _INCOMPLETE else COMPLETED


# Items --------------------------------------------------------------------------------------------
def message(identity: str, status: str, *content: Body) -> Body:
    own = {"type": "message", "status": status, "role": "assistant", "content": [*content]}
    return {"id": identity, **own}


def text_part(text: str, logprobs: list[Body] | None = None) -> Body:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs or []}


def refusal_part(text: str) -> Body:
    return {"type": "refusal", "refusal": text}


def reasoning(shape: Shape, identity: str, status: str, text: str) -> Body:
    """Returns a reasoning item; one without a text has just begun."""
    item: Body = {"id": identity, "type": "reasoning", "summary": [], "status": status}
    if shape.summarizes:
        item["summary"] = [{"type": "summary_text", "text": text}] if text else []
    else:
        item["content"] = [{"type": "reasoning_text", "text": text}] if text else []
    if shape.packs_thoughts and text:
        item["encrypted_content"] = opaque.packed(text)
    return item


class Call(NamedTuple):
    """A call of a function or a custom tool."""

    identity: str  # of the item
    call_id: str
    name: str
    is_custom: bool = False

    def item(self, status: str, arguments: str) -> Body:
        own: Body = {"call_id": self.call_id, "name": self.name, "status": status}
        if not self.is_custom:
            return {"id": self.identity, "type": "function_call", **own, "arguments": arguments}
        text = tools.input_of(arguments) if arguments else ""
        return {"id": self.identity, "type": "custom_tool_call", **own, "input": text}


def call_of(shape: Shape, index: int, call_id: Any, name: Any) -> Call:
    """Returns the call of the item of this index. Engines that name no call get a name for it."""
    own_name = name if isinstance(name, str) else ""
    is_custom = own_name in shape.custom_names
    identity = shape.item_id("ctc" if is_custom else "fc", index)
    own_id = call_id if isinstance(call_id, str) and call_id else shape.item_id("call", index)
    return Call(identity, own_id, own_name, is_custom)


# Figures ------------------------------------------------------------------------------------------
def usage_of(counted: Any) -> Body:
    prompt, answer = count(counted, "prompt_tokens") or 0, count(counted, "completion_tokens") or 0
    details = counted if isinstance(counted, dict) else {}
    cached = count(details.get("prompt_tokens_details"), "cached_tokens") or 0
    thought = count(details.get("completion_tokens_details"), "reasoning_tokens") or 0
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": answer,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": prompt + answer,
    }


def logprobs_of(holder: Any) -> list[Body]:
    """Returns the probabilities that a choice of a chat has."""
    listed = holder.get("content") if isinstance(holder, dict) else None
    tokens = listed if isinstance(listed, list) else []
    return [_logprob(each) for each in tokens if isinstance(each, dict)]


def _logprob(token: Body) -> Body:
    others = token.get("top_logprobs")
    listed = [each for each in others if isinstance(each, dict)] if isinstance(others, list) else []
    return {**_token(token), "top_logprobs": list(map(_token, listed))}


def _token(token: Body) -> Body:
    text = str(token.get("token") or "")
    return {
        "token": text,
        "logprob": token.get("logprob"),
        "bytes": token.get("bytes") or list(text.encode()),
    }
