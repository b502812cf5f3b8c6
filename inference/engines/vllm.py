"""vLLM's OpenAI-compatible server. `url` is its base, e.g. http://gpu-1:8000/v1."""

from inference.engines.salted import SaltedEngine


class VllmEngine(SaltedEngine):
    """Needs vLLM 0.9 or newer: older ones do not know `cache_salt`."""
