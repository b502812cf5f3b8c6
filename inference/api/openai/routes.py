"""Maps the paths of the inference API to views.

Paths begin with /v1. DeepSeek's base URL has no /v1, and its beta features are under /beta. Azure's
clients use /openai and /openai/v1, with the same views. Their older paths name the model
(`/openai/deployments/{model}/…`).
"""

import re

from inference.api.http.router import ErrorWriter, Route, Router, View
from inference.api.openai import (
    batches,
    document,
    files,
    fine_tuning,
    part_uploads,
    tokenizing,
    views,
)
from inference.errors import ApiError
from inference.metrics.labels import ROUTES as COUNTED

ROUTES: dict[str, dict[str, View]] = {
    "/v1/chat/completions": {"POST": views.chat_completions},
    "/v1/completions": {"POST": views.completions},
    "/v1/completions/{id}/events": {"GET": views.events},
    "/v1/inference": {"POST": views.inference},
    "/v1/embeddings": {"POST": views.embeddings},
    "/v1/rerank": {"POST": views.rerank},
    "/v1/tokenize": {"POST": tokenizing.tokenize},
    "/v1/detokenize": {"POST": tokenizing.detokenize},
    "/v1/models": {"GET": views.models},
    "/v1/models/{model}": {"GET": views.model},
    "/v1/user/balance": {"GET": views.balance},
    "/v1/files": {"GET": files.listed, "POST": files.create},
    "/v1/files/{id}": {"GET": files.retrieve, "DELETE": files.delete},
    "/v1/files/{id}/content": {"GET": files.content},
    "/v1/uploads": {"POST": part_uploads.create},
    "/v1/uploads/{id}/parts": {"POST": part_uploads.add_part},
    "/v1/uploads/{id}/complete": {"POST": part_uploads.complete},
    "/v1/uploads/{id}/cancel": {"POST": part_uploads.cancel},
    "/v1/batches": {"GET": batches.listed, "POST": batches.create},
    "/v1/batches/{id}": {"GET": batches.retrieve},
    "/v1/batches/{id}/cancel": {"POST": batches.cancel},
    "/v1/fine_tuning/jobs": {"GET": fine_tuning.listed, "POST": fine_tuning.create},
    "/v1/fine_tuning/jobs/{id}": {"GET": fine_tuning.retrieve},
    "/v1/fine_tuning/jobs/{id}/cancel": {"POST": fine_tuning.cancel},
    "/v1/fine_tuning/jobs/{id}/pause": {"POST": fine_tuning.pause},
    "/v1/fine_tuning/jobs/{id}/resume": {"POST": fine_tuning.resume},
    "/v1/fine_tuning/jobs/{id}/events": {"GET": fine_tuning.events},
    "/v1/fine_tuning/jobs/{id}/checkpoints": {"GET": fine_tuning.checkpoints},
}
# OpenAI's paths for other media than text.
_OTHER_MEDIA = re.compile(r"/v1/(audio|images|videos|realtime)(?:/.*)?", re.DOTALL)
_NOT_SERVED = dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE"), views.not_served)
COUNTED.update(ROUTES, ("/v1/audio", "/v1/images", "/v1/videos", "/v1/realtime"))
_BESIDE_V1 = ("/beta", "/openai/v1", "/openai")
_AT_THE_ROOT = ("/chat/completions", "/completions", "/models", "/user/balance")
# A model's name may have a slash.
_DEPLOYED = re.compile(
    r"/openai/deployments/([^/].*?)((?:/chat)?/completions|/embeddings)", re.DOTALL
)
_VARIABLES = {"{id}": "([^/]*)", "{model}": "(.+)"}


def _paths(template: str) -> set[str]:
    rest = template.removeprefix("/v1")
    paths = {template, *({rest} if rest in _AT_THE_ROOT else ())}
    paths |= {front + rest for front in _BESIDE_V1}
    return paths | {f"{path}/" for path in paths}


def _pattern(template: str) -> re.Pattern[str]:
    for variable, text in _VARIABLES.items():
        template = template.replace(variable, text)
    return re.compile(template, re.DOTALL)


# Cohere's, and those of vLLM's server.
_ALIASES = {
    "/v2/rerank": "/v1/rerank",
    "/tokenize": "/v1/tokenize",
    "/detokenize": "/v1/detokenize",
}
_EXACT = {
    path: Route(template, by_method)
    for template, by_method in ROUTES.items()
    for path in _paths(template)
    if "{" not in template
}
_WITH_A_NAME = {template: _pattern(template) for template in ROUTES if "{" in template}


_EXACT |= {
    path: _EXACT[template] for alias, template in _ALIASES.items() for path in (alias, f"{alias}/")
}


def owns(path: str) -> bool:
    """Returns whether the path is the inference API's, also if it does not exist."""
    return (
        path.startswith(("/v1/", "/beta/", "/openai/", "/models/"))
        or path in _EXACT
        or path in ("/v1", "/beta", "/openai")
    )


def find(path: str) -> Route | None:
    return _EXACT.get(path) or _with_a_name(path.rstrip("/"))


def _with_a_name(path: str) -> Route | None:
    if match := _DEPLOYED.fullmatch(path):
        template = f"/v1{match[2]}"
        return Route(template, ROUTES[template], (match[1],))
    path = _under_v1(path)
    for template, pattern in _WITH_A_NAME.items():
        if match := pattern.fullmatch(path):
            return Route(template, ROUTES[template], match.groups())
    if match := _OTHER_MEDIA.fullmatch(path):
        return Route(f"/v1/{match[1]}", _NOT_SERVED)
    return None


def _under_v1(path: str) -> str:
    if path.startswith("/models/"):
        return "/v1" + path
    front = next((front for front in _BESIDE_V1 if path.startswith(f"{front}/")), None)
    return path if front is None else "/v1" + path.removeprefix(front)


def _last_words(error: ApiError) -> bytes:
    return b"data: %b\n\ndata: [DONE]\n\n" % error.body()


router = Router(find, owns, ErrorWriter(ApiError.body, _last_words), document=document.section)
