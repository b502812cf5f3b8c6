"""The model that comes with Forebay, and the chat template that it gets of us.

Its own template has no tools. Ours is its own word for word where a chat names none; with tools it
has the form of Hermes 2 Pro, which llama.cpp knows how to read.
"""

from pathlib import Path

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
TEMPLATE = Path(__file__).with_name("smollm2.jinja")


def template_for(model: str | Path) -> Path | None:
    """Returns the file of our template for this model file; None where it has its own."""
    return TEMPLATE if Path(model).name == FILE else None
