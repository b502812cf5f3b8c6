"""An engine for embeddings on a host of `make run`, where no model of a tenant's embeds."""

import time
import urllib.request

from django.conf import settings
from django.core.exceptions import ValidationError

from config.demo import sentence_model
from config.demo.http_api import Unready
from config.supervisor.engines.embedded_engine import bundled_model
from config.supervisor.terminal import RunProblem
from inference.models import Engine, Model, Pool
from inference.registry import following
from inference.registry.checking import with_server
from tenants.models import Tenant

NAME = "demo-sentences"
CONTEXT, SLOTS = 512, 2
PATIENCE_S, LOOK_EVERY_S = 90.0, 0.5


def add(tenant: Tenant, *, by: str) -> str:
    """Returns the name of a model that is the tenant's alone. Raises Unready, ValidationError."""
    engine = Engine.objects.filter(name=NAME).first() or _added(tenant, by)
    _wait(engine.url)
    following.load_once()
    return engine.pool.model.name


def _added(tenant: Tenant, by: str) -> Engine:
    launch = {"model": _file()}
    options = {
        "launch": launch,
        "context_length": CONTEXT,
        "capabilities": {"text": False, "embeddings": True},
    }
    try:
        fields = with_server(NAME, {"kind": "llama_cpp", "slots": SLOTS, "options": options})
    except ValidationError as problem:
        reason = " ".join(problem.messages)
        raise Unready(f"name a model for embeddings by --model. {reason}") from None
    model = Model.objects.filter(name=NAME).first() or Model.add(NAME, by=by, only_for=tenant.pk)
    pool = model.pools.first() or Pool.add(model, NAME, by=by)
    return Engine.add(pool, NAME, by=by, **fields)


def _file() -> str:
    """Write the model's file if it is not there. Returns its name. Raises Unready, OSError."""
    folder = settings.MODEL_FOLDERS[0]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{NAME}.gguf"
    if not file.exists():
        try:
            sentence_model.write(bundled_model(), file)
        except RunProblem as problem:
            raise Unready(str(problem)) from None
    return file.name


def _wait(url: str) -> None:
    """Wait until the server answers that the supervisor starts. Raises Unready."""
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:  # noqa: S310 (its own)
                if answer.status == 200:
                    return
        except OSError:
            pass
        time.sleep(LOOK_EVERY_S)
    raise Unready(f"the engine {NAME} does not start: see its log, and `forebay engines list`")
