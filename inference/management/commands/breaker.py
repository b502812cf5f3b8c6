from typing import Any

from django.core.management.base import CommandParser

from inference.engines import engines
from inference.engines.health.breaker_override import Breaker, breaker, override
from inference.queue.client import client
from inference.registry.following import load_once
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
        engine, state, connection = options["engine"], options["state"], client()
        if state:
            override(connection, engine, state, by=BY)
        names = [engine] if engine else [each.config.id for each in engines()]
        return {"breakers": [_described(breaker(connection, name)) for name in names]}

    def text(self, answer: Answer) -> str:
        return "\n".join(map(_lines, answer["breakers"]))


def _described(circuit: Breaker) -> dict[str, Any]:
    return {
        "engine": circuit.engine,
        "state": circuit.phase.value,
        "forced": circuit.forced,
        "failures": circuit.failures,
        "reason": circuit.reason,
        "due_in_s": circuit.due_in_s,
        "history": [
            {"at": each.when.isoformat(), "state": each.state, "reason": each.reason, "by": each.by}
            for each in circuit.history
        ],
    }


def _lines(described: dict[str, Any]) -> str:
    forced = " (by an operator)" if described["forced"] else ""
    state = f"{described['state']}{forced}, {described['failures']} failures in a row"
    changes = [
        f"  {each['at']} {each['state']}: {each['reason']} {each['by']}".rstrip()
        for each in described["history"][:SHOWN]
    ]
    return "\n".join([f"{described['engine']}: {state}", *changes])
