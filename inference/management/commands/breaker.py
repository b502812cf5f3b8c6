from typing import Any

from django.core.management.base import CommandParser

from inference.engines import engines
from inference.engines.breaker_override import Breaker, breaker, override
from inference.queue.client import client
from inference.registry.loading import load_once
from tenants.management.commands._json_command import Answer, JsonCommand

BY = "command:breaker"
SHOWN = 10  # changes


class Command(JsonCommand):
    help = "Shows the circuit breaker of an engine, or of all; keeps one open or closed."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("engine", nargs="?", help="a pool's name, or <pool>.<number>")
        parser.add_argument(
            "state",
            nargs="?",
            choices=["open", "closed", "automatic"],
            help="open: nobody asks the engine; closed: everybody does; automatic: as requests go",
        )

    def answer(self, **options: Any) -> Answer:
        load_once()
        engine, wanted, redis = options["engine"], options["state"], client()
        if wanted:
            override(redis, engine, wanted, by=BY)
        names = [engine] if engine else [each.config.id for each in engines()]
        return {"breakers": [_described(breaker(redis, name)) for name in names]}

    def text(self, answer: Answer) -> str:
        return "\n".join(map(_lines, answer["breakers"]))


def _described(found: Breaker) -> dict[str, Any]:
    return {
        "engine": found.engine,
        "state": found.phase.value,
        "forced": found.forced,
        "failures": found.failures,
        "reason": found.reason,
        "due_in_s": found.due_in_s,
        "history": [
            {"at": each.when.isoformat(), "state": each.state, "reason": each.reason, "by": each.by}
            for each in found.history
        ],
    }


def _lines(found: dict[str, Any]) -> str:
    forced = " (by an operator)" if found["forced"] else ""
    head = f"{found['engine']}: {found['state']}{forced}, {found['failures']} failures in a row"
    told = [
        f"  {each['at']} {each['state']}: {each['reason']} {each['by']}".rstrip()
        for each in found["history"][:SHOWN]
    ]
    return "\n".join([head, *told])
