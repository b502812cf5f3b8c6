"""What a model can take. What it cannot is refused before it is on record or takes a place.

Three sources, the later over the earlier: what its kind of engine can do at all (`Engine.can`),
what the engine says of itself (`Engine.probe`), and what the operator declares (`capabilities` in
FOREBAY_ENGINES). What nobody knows is allowed: then the engine says no. GET /v1/models names
what is known.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Of one model. Each is a yes or a no, and True where it is not known."""

    text: bool = True  # it answers; else it makes embeddings or scores alone
    embeddings: bool = True
    images: bool = True
    audio: bool = True
    video: bool = True
    files: bool = True
    tools: bool = True
    json_schema: bool = True
    logprobs: bool = True

    def but(self, told: Mapping[str, bool]) -> "Capabilities":
        return replace(self, **told)


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


def check_declared(given: Any) -> None:
    """`capabilities` of an entry in FOREBAY_ENGINES. Raises ValueError."""
    if not isinstance(given, dict) or any(not isinstance(v, bool) for v in given.values()):
        raise ValueError('capabilities must be an object like {"images": false, "tools": true}')
    if unknown := sorted(given.keys() - set(NAMES)):
        raise ValueError(f"unknown capability {unknown[0]!r}; known are {', '.join(NAMES)}")
