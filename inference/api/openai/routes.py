"""Maps the paths of the inference API to views.

Paths begin with /v1. DeepSeek's base URL has no /v1, and its beta features are under /beta. Azure's
clients use /openai and /openai/v1, with the same views. Their older paths name the model
(`/openai/deployments/{model}/…`).
"""

import re

from inference.api.http.route_table import Route, RouteTable, Views, is_below
from inference.api.http.router import ErrorWriter, Router
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
from inference.metrics import labels

ROUTES: dict[str, Views] = {
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
labels.ROUTES.update(("/v1/audio", "/v1/images", "/v1/videos", "/v1/realtime"))
_BESIDE_V1 = ("/beta", "/openai/v1", "/openai")
# DeepSeek's, Cohere's, and those of vLLM's server.
_ELSEWHERE = {
    "/chat/completions": "/v1/chat/completions",
    "/completions": "/v1/completions",
    "/models": "/v1/models",
    "/user/balance": "/v1/user/balance",
    "/v2/rerank": "/v1/rerank",
    "/tokenize": "/v1/tokenize",
    "/detokenize": "/v1/detokenize",
}
# A model's name may have a slash.
_DEPLOYED = re.compile(
    r"/openai/deployments/([^/].*?)((?:/chat)?/completions|/embeddings)", re.DOTALL
)
_TABLE = RouteTable(ROUTES)


def owns(path: str) -> bool:
    """Returns whether the path is the inference API's, also if it does not exist."""
    if is_below(path, "/v1", "/beta", "/openai") or path.startswith("/models/"):
        return True
    return path.rstrip("/") in _ELSEWHERE


def find(path: str) -> Route | None:
    path = path.rstrip("/")
    if match := _DEPLOYED.fullmatch(path):
        template = f"/v1{match[2]}"
        return Route(template, ROUTES[template], (match[1],))
    path = _under_v1(path)
    if match := _OTHER_MEDIA.fullmatch(path):
        return Route(f"/v1/{match[1]}", _NOT_SERVED)
    return _TABLE.find(path)


def _under_v1(path: str) -> str:
    if path in _ELSEWHERE:
        return _ELSEWHERE[path]
    if path.startswith("/models/"):
        return "/v1" + path
    front = next((front for front in _BESIDE_V1 if path.startswith(f"{front}/")), None)
    return path if front is None else "/v1" + path.removeprefix(front)


def _last_words(error: ApiError) -> bytes:
    return b"data: %b\n\ndata: [DONE]\n\n" % error.body()


router = Router(find, owns, ErrorWriter(ApiError.body, _last_words), document=document.section)
