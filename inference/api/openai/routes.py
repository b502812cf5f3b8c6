"""Maps the paths of the inference API to views.

Paths begin with /v1. DeepSeek's base URL has no /v1, and its beta features are under /beta. Azure's
clients use /openai and /openai/v1, with the same views. Their older paths name the model
(`/openai/deployments/{model}/…`).
"""

from inference.api.http.router import ErrorWriter, Route, Router, View
from inference.api.openai import batches, files, part_uploads, views
from inference.errors import ApiError
from inference.metrics.labels import ROUTES as COUNTED

ROUTES: dict[str, dict[str, View]] = {
    "/v1/chat/completions": {"POST": views.chat_completions},
    "/v1/completions": {"POST": views.completions},
    "/v1/inference": {"POST": views.inference},
    "/v1/models": {"GET": views.models},
    "/v1/user/balance": {"GET": views.balance},
    "/v1/files": {"GET": files.listed, "POST": files.create},
    "/v1/uploads": {"POST": part_uploads.create},
    "/v1/batches": {"GET": batches.listed, "POST": batches.create},
}
_WITH_AN_ID: dict[str, dict[str, dict[str, View]]] = {  # by the text before and behind the id
    "/v1/files": {
        "": {"GET": files.retrieve, "DELETE": files.delete},
        "content": {"GET": files.content},
    },
    "/v1/uploads": {
        "parts": {"POST": part_uploads.add_part},
        "complete": {"POST": part_uploads.complete},
        "cancel": {"POST": part_uploads.cancel},
    },
    "/v1/batches": {"": {"GET": batches.retrieve}, "cancel": {"POST": batches.cancel}},
}
_DEPLOYED: dict[str, View] = {
    "/chat/completions": views.chat_completions,
    "/completions": views.completions,
}
_BESIDE_V1 = ("/beta", "/openai/v1", "/openai")
_DEPLOYMENTS = "/openai/deployments/"
_MODEL_ROUTE, EVENTS_ROUTE = "/v1/models/{model}", "/v1/completions/{id}/events"
_AT_THE_ROOT = ("/chat/completions", "/completions", "/models", "/user/balance")
_MODELS, _STREAMS = "/v1/models/", "/v1/completions/"


def _paths(template: str) -> set[str]:
    rest = template.removeprefix("/v1")
    paths = {template, *({rest} if rest in _AT_THE_ROOT else ())}
    paths |= {front + rest for front in _BESIDE_V1}
    return paths | {f"{path}/" for path in paths}


_EXACT = {
    path: Route(template, by_method)
    for template, by_method in ROUTES.items()
    for path in _paths(template)
}


def owns(path: str) -> bool:
    """Returns whether the path is the inference API's, also if it does not exist."""
    return (
        path.startswith(("/v1/", "/beta/", "/openai/", "/models/"))
        or path in _EXACT
        or path in ("/v1", "/beta", "/openai")
    )


def find(path: str) -> Route | None:
    return _EXACT.get(path) or _with_an_id(path)


def _with_an_id(path: str) -> Route | None:
    path = _under_v1(path.rstrip("/"))
    if path.startswith(_DEPLOYMENTS):
        return _deployed(path.removeprefix(_DEPLOYMENTS))
    if path.startswith(_MODELS):
        name = path.removeprefix(_MODELS)
        return Route(_MODEL_ROUTE, {"GET": views.model}, (name,))
    if path.startswith(_STREAMS):
        completion_id, _, what = path.removeprefix(_STREAMS).partition("/")
        if what == "events":
            return Route(EVENTS_ROUTE, {"GET": views.events}, (completion_id,))
    return _of_files_and_batches(path)


def _under_v1(path: str) -> str:
    if path.startswith("/models/"):
        return "/v1" + path
    front = next((front for front in _BESIDE_V1 if path.startswith(f"{front}/")), None)
    if front is None or path.startswith(_DEPLOYMENTS):
        return path
    return "/v1" + path.removeprefix(front)


def _deployed(rest: str) -> Route | None:
    """Returns the route of a path that names a model, whose name may have a slash."""
    for suffix, view in _DEPLOYED.items():
        if rest.endswith(suffix):
            model = rest.removesuffix(suffix)
            return Route(f"/v1{suffix}", {"POST": view}, (model,)) if model else None
    return None


def _of_files_and_batches(path: str) -> Route | None:
    for front, views_by_suffix in _WITH_AN_ID.items():
        name, _, what = path.removeprefix(front + "/").partition("/")
        if path.startswith(front + "/") and what in views_by_suffix:
            return Route(_template(front, what), views_by_suffix[what], (name,))
    return None


def _template(front: str, what: str) -> str:
    return f"{front}/{{id}}/{what}".rstrip("/")


COUNTED.update(ROUTES, (_MODEL_ROUTE, EVENTS_ROUTE))
COUNTED.update(_template(front, what) for front, known in _WITH_AN_ID.items() for what in known)


def _last_words(error: ApiError) -> bytes:
    return b"data: %b\n\ndata: [DONE]\n\n" % error.body()


router = Router(find, owns, ErrorWriter(ApiError.body, _last_words))
