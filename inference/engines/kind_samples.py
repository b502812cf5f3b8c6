"""An engine of each kind, for tables of the fields that they take."""

from inference.engines import KINDS
from inference.engines.base import Engine, EngineConfig
from inference.engines.fields import HINTS, FieldRule

SERVICE_NAME = "OpenAI"  # the kind `openai` at OpenAI's own hosts


def samples() -> dict[str, Engine]:
    engines = {
        name: kind(EngineConfig("m", name, "http://engine/v1", "m")) for name, kind in KINDS.items()
    }
    url = "https://api.openai.com/v1"
    service = EngineConfig("m", "openai", url, "m", hosted=True)
    return engines | {SERVICE_NAME: KINDS["openai"](service)}


def rules_of_all(*, chat: bool) -> dict[str, list[FieldRule]]:
    """Returns the fields of a completion that some kind takes, each with its different rules."""
    rules: dict[str, list[FieldRule]] = {}
    for engine in samples().values():
        for name, rule in (HINTS | engine.fields(chat=chat)).items():
            of_name = rules.setdefault(name, [])
            if all(rule.should != other.should for other in of_name):
                of_name.append(rule)
    return rules
