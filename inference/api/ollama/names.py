"""Names of models, which Ollama's clients write with a tag."""

from inference.errors import BadRequest
from inference.intake.access import allowed
from inference.intake.access.allowed import NoSuchModel
from inference.validation.schemas import Body
from tenants.caller import Caller

LATEST = ":latest"


def tagged(name: str) -> str:
    """Returns the name as Ollama lists it."""
    return name if ":" in name else name + LATEST


def name_in(body: Body) -> str:
    """Returns the name of the model that a body asks for. Raises BadRequest."""
    name = body.get("model") or body.get("name")
    if not isinstance(name, str) or not name:
        raise BadRequest("`model` must name a model; GET /api/tags lists them", param="model")
    return name


def known_as(caller: Caller, name: str) -> str:
    """Returns the name here: without `:latest`, unless the caller has a model of that name.

    Raises Unavailable.
    """
    if not name.endswith(LATEST):
        return name
    try:
        allowed.target_for(caller, name)
    except NoSuchModel:
        return name.removesuffix(LATEST)
    return name
