"""The system prompt, without the block that changes with each request.

Agents put their version and a hash of the request in front of it. A local model reads it as a part
of the prompt, and no prompt would begin as another one did.
"""

from typing import Any

from inference.api.anthropic.blocks import kind_of, text_of
from inference.errors import must_be

BILLING = "x-anthropic-billing-header"


def prompt(system: Any) -> str:
    """Returns the text; "" without one. Raises BadRequest."""
    if isinstance(system, str):
        return _without_billing(system)
    if not isinstance(system, list):
        raise must_be("system", "a string or a list of text blocks")
    for i, block in enumerate(system):
        kind_of(block, f"system[{i}]", "system")
    texts = (_without_billing(text_of(block, f"system[{i}]")) for i, block in enumerate(system))
    return "\n\n".join(filter(None, texts))


def _without_billing(text: str) -> str:
    """Remove the first line if it is the header."""
    if not text.lstrip().startswith(BILLING):
        return text
    return text.lstrip().partition("\n")[2].lstrip("\n")
