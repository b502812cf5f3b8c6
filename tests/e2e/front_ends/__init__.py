"""Every front end by its name, for the fixture `front`."""

from collections.abc import Callable
from typing import Any

from tests.e2e.front_ends.base import FrontEnd
from tests.e2e.front_ends.grpc import Grpc
from tests.e2e.front_ends.lines import Lines
from tests.e2e.front_ends.messages import Messages
from tests.e2e.front_ends.ollama import Ollama
from tests.e2e.front_ends.responses import Responses
from tests.e2e.front_ends.rest import Rest

FRONT_ENDS: dict[str, Callable[[Any], FrontEnd]] = {
    "rest": Rest,
    "grpc": Grpc,
    "lines": Lines,
    "messages": Messages,
    "responses": Responses,
    "ollama": Ollama,
}
