"""A submission's way through the intake."""

from typing import Any

from inference import engines
from inference.intake import submit as submitting
from inference.intake.answer_stream import AnswerStream
from inference.intake.context import Context
from inference.intake.submission import Submission
from tenants.caller import Caller


async def submit(
    context: Context, caller: Caller, before_queue: Any = None, **changes: Any
) -> AnswerStream:
    asked: dict[str, Any] = {
        "caller": caller,
        "engine": next(iter(engines.served().values())),
        "body": b'{"messages":[]}',
        "route": "/v1/chat/completions",
        "chat": True,
        "stream": True,
        "estimate": 100,
        "client_ip": "198.51.100.7",
    }
    submission = Submission(**{**asked, **changes})
    return await submitting.submit(context, submission, before_queue=before_queue)
