"""Words of capabilities (inference/engines/capabilities.py) for operators."""

from django.utils.functional import Promise
from django.utils.translation import pgettext_lazy

CAPABILITIES: dict[str, Promise] = {
    "text": pgettext_lazy("capability of a model", "text"),
    "embeddings": pgettext_lazy("capability of a model", "embeddings"),
    "rerank": pgettext_lazy("capability of a model", "ranking of documents"),
    "dimensions": pgettext_lazy("capability of a model", "shortened embeddings"),
    "images": pgettext_lazy("capability of a model", "images"),
    "audio": pgettext_lazy("capability of a model", "audio"),
    "video": pgettext_lazy("capability of a model", "video"),
    "files": pgettext_lazy("capability of a model", "files"),
    "tools": pgettext_lazy("capability of a model", "tools"),
    "json_schema": pgettext_lazy("capability of a model", "JSON schemas"),
    "logprobs": pgettext_lazy("capability of a model", "log probabilities"),
}
