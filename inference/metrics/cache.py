"""Metrics of lookups in the cache."""

from infrastructure.metrics import Counter, Label

MISS = "miss"
LOOKED = Counter(
    "forebay_cache_lookups_total",
    "Requests that looked for a kept answer, by where it was: in the process, in Valkey, with a "
    "request in flight, or nowhere",
    Label.of("level", "l1", "l2", "shared", MISS),
)
