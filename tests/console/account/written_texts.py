"""A text that a member wrote into the chat."""

from uuid import uuid4

from inference.chat import exchanges
from inference.chat.protocol import Send
from tenants.models import Member

SECRET = "my salary is a secret"


def wrote(member: Member) -> exchanges.Exchange:
    send = Send(text=SECRET, model="mock", message=uuid4())
    return exchanges.put(member, send, uuid4())
