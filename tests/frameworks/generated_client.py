"""A client that openapi-python-client has made of `/v1/openapi.json`, as people would use it."""

import json
import sys

from forebay_client import AuthenticatedClient
from forebay_client.api.completions import create_chat_completion
from forebay_client.api.embeddings_and_rankings import create_embeddings
from forebay_client.api.models import list_models
from forebay_client.models import (
    ChatCompletion,
    ChatCompletionRequest,
    ChatMessage,
    ChatMessageRole,
    EmbeddingList,
    EmbeddingRequest,
    Error,
    ModelList,
)

url, key, chats, vectors = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=key)
listed = list_models.sync(client=client)
assert isinstance(listed, ModelList), listed
hello = ChatMessage(role=ChatMessageRole.USER, content="Say hello.")
request = ChatCompletionRequest(model=chats, messages=[hello], max_tokens=5)
completion = create_chat_completion.sync(client=client, body=request)
assert isinstance(completion, ChatCompletion), completion
body = EmbeddingRequest(model=vectors, input_="hello")
embeddings = create_embeddings.sync(client=client, body=body)
assert isinstance(embeddings, EmbeddingList), embeddings
unknown = ChatCompletionRequest(model="nobody's", messages=[hello])
refused = create_chat_completion.sync(client=client, body=unknown)
assert isinstance(refused, Error), refused
report = {
    "models": sorted(model.id for model in listed.data),
    "chat": bool(completion.choices[0].message.content),
    "embedding": len(embeddings.data[0].embedding),
    "refused": refused.error.code,
}
print(json.dumps(report))
