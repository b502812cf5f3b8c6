"""The bundled model and the chat template that Forebay gives it.

The model's own template has no tools. Forebay's equals it where a chat names none; with tools it
has the form of Hermes 2 Pro, which llama.cpp can parse.
"""

from pathlib import Path

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
TEMPLATE = Path(__file__).with_name("smollm2.jinja")


def template_for(model: str | Path) -> Path | None:
    """Returns the file of Forebay's template for this model file; None for all other models."""
    return TEMPLATE if Path(model).name == FILE else None
