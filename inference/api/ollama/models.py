"""The models that a caller may use, in Ollama's shape. What is not known here is empty or 0."""

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from inference.api.ollama.names import tagged
from inference.engines.health import reachability
from inference.intake.access import allowed
from inference.intake.route import open_to
from tenants.caller import Caller

Json = dict[str, Any]
VERSION = "0.33.0"  # of Ollama, whose API this is
ARCHITECTURE = "forebay"  # before the names of `model_info`, where clients look for the context
FOREVER = "2999-12-31T00:00:00Z"  # engines stay loaded


def tag(model: Json) -> Json:
    name = tagged(model["id"])
    return {
        "name": name,
        "model": name,
        "modified_at": _time(model),
        "size": 0,
        "digest": digest(model),
        "details": _details(model),
        "capabilities": capabilities(model),
    }


def digest(model: Json) -> str:
    """Returns 64 hexadecimal digits, the same as long as name and version are."""
    return sha256(f"{model['id']}\0{model.get('version', '')}".encode()).hexdigest()


def shown(model: Json) -> Json:
    context = model["context_length"]
    return {
        "modelfile": f"# {model['id']} is served by Forebay, and has no Modelfile",
        "parameters": f"num_ctx                        {context}",
        "template": "",
        "details": _details(model),
        "model_info": {
            "general.architecture": ARCHITECTURE,
            "general.basename": model["id"],
            f"{ARCHITECTURE}.context_length": context,
        },
        "capabilities": capabilities(model),
        "modified_at": _time(model),
    }


def running(caller: Caller, models: list[Json]) -> list[Json]:
    """Returns those of the models with an engine that answers."""
    return [_process(model) for model in models if _answers(caller, model)]


def _answers(caller: Caller, model: Json) -> bool:
    pools = open_to(caller, allowed.engine_for(caller, model["id"]).config.name)
    return any(reachability.available(engine) for pool in pools for engine in pool.engines)


def _process(model: Json) -> Json:
    row = tag(model)
    own = {name: row[name] for name in ("name", "model", "size", "digest", "details")}
    return own | {
        "expires_at": FOREVER,
        "size_vram": 0,
        "context_length": model["context_length"],
    }


def capabilities(model: Json) -> list[str]:
    """Returns Ollama's words. What nobody has declared or reported is there, but for embeddings."""
    known = model["capabilities"]
    if not known.get("text", True):
        return ["embedding"] if known.get("embeddings", not known.get("rerank")) else []
    words = ["completion"]
    if known.get("tools", True):
        words.append("tools")
    return [*words, "embedding"] if known.get("embeddings") else words


def _details(model: Json) -> Json:
    return {
        "parent_model": model.get("parent", ""),
        "format": "",
        "family": ARCHITECTURE,
        "families": [ARCHITECTURE],
        "parameter_size": "",
        "quantization_level": "",
    }


def _time(model: Json) -> str:
    return datetime.fromtimestamp(model["created"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
