"""SGLang's OpenAI-compatible server. `url` is its base, e.g. http://gpu-1:30000/v1."""

from inference.engines.salted import SaltedEngine


class SglangEngine(SaltedEngine):
    """Needs SGLang 0.5.3 or newer: older ones do not know `cache_salt`."""
