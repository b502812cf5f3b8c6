"""Capabilities of a model. A request beyond them is refused before it is recorded or queued.

There are three sources, the later over the earlier: what its kind of engine can do at all
(`Engine.can`), what the engine reports (`Engine.probe`), and what the operator declares
(`capabilities` in FOREBAY_ENGINES). An unknown capability is allowed: then the engine refuses. GET
/v1/models names the known ones.
"""

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The capabilities of one model. Unknown ones are True."""

    text: bool = True  # it generates; else only embeddings or scores
    embeddings: bool = True
    rerank: bool = True
    dimensions: bool = True  # its embeddings may be shortened
    images: bool = True
    audio: bool = True
    video: bool = True
    files: bool = True
    tools: bool = True
    json_schema: bool = True
    logprobs: bool = True


NAMES = tuple(field.name for field in fields(Capabilities))
# The content part and the capability that it needs.
OF_PART = {
    "image_url": "images",
    "input_audio": "audio",
    "audio_url": "audio",
    "video_url": "video",
    "file": "files",
}
MEDIA = tuple(OF_PART)


def check_declared(declared: Any) -> None:
    """Check `capabilities` of an entry in FOREBAY_ENGINES. Raises ValueError."""
    if not isinstance(declared, dict) or any(not isinstance(v, bool) for v in declared.values()):
        raise ValueError('capabilities must be an object like {"images": false, "tools": true}')
    if unknown := sorted(declared.keys() - set(NAMES)):
        raise ValueError(f"unknown capability {unknown[0]!r}; known are {', '.join(NAMES)}")
