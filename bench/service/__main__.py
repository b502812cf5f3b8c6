"""python -m bench.service FOLDER --sentences FILE [--seeds 1,2,3] [--goals N] [--trials K]

Starts a platform with the model FILE for embeddings, and with another one for --chat-model, or
takes the running one of --home, whose FOREBAY_ACTION_HOSTS has to name 127.0.0.1.
--without-platform runs the assistant's rules, classifier and ranking in this process. Persons and
attacks are drawn by the seeds.
"""

import argparse
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench.servers.child import REPOSITORY
from bench.servers.forebay import forebay_on
from bench.service import assistant, injections, offline, report
from bench.service.client import Client
from bench.service.figures import Run
from bench.service.handbook_search import Handbook
from bench.service.install import NAME
from bench.service.shop import Shop
from bench.service.simulation import Simulation
from bench.service.webhooks import Webhooks, serving
from config.supervisor.engines.embedded_engine import bundled_model
from inference.assistants.spec import AssistantSpec

MODEL, CHAT, BUNDLED = "sentences", "chat", "bundled"
OWN_TENANT = "bench"  # of a platform that is started for it
HOSTS = {"FOREBAY_ACTION_HOSTS": "127.0.0.1"}


@dataclass(frozen=True, slots=True)
class Place:
    """A running platform."""

    url: str
    env: dict[str, str]
    tenant: str
    model: str


def main() -> None:
    options = _options()
    run = _offline(options) if options.without_platform else _on_platform(options)
    print(report.write(options.folder, run))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.service")
    parser.add_argument("folder", type=Path, help="of the report")
    parser.add_argument("--sentences", type=Path, help="a GGUF of a model for embeddings")
    parser.add_argument("--without-platform", action="store_true")
    parser.add_argument("--home", type=Path, help="FOREBAY_HOME of a platform that runs")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="of that platform")
    parser.add_argument("--tenant", default="demo", help="of that platform")
    parser.add_argument("--model", default=MODEL, help="for embeddings, of that platform")
    words = "words the answers: a GGUF, `bundled`, or a model of --home; else plain words"
    parser.add_argument("--chat-model", default="", help=words)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--goals", type=int, default=100, help="of a seed")
    parser.add_argument("--trials", type=int, default=3, help="of each goal, for pass^k")
    parser.add_argument("--attacks", type=int, default=500, help="in all")
    parser.add_argument("--at-once", type=int, default=4, help="dialogues")
    options = parser.parse_args()
    if not (options.sentences or options.home):
        parser.error("name --sentences, a model for embeddings, or --home, a platform with one")
    return options


@contextmanager
def _place(options: argparse.Namespace) -> Iterator[Place]:
    if options.home:
        running = json.loads((options.home / "run" / "env.json").read_text())
        env = {**os.environ, **running, "FOREBAY_HOME": str(options.home), **HOSTS}
        yield Place(options.url, env, options.tenant, options.model)
        return
    with forebay_on(engines(options.sentences, options.chat_model), variables=HOSTS) as forebay:
        url = f"http://127.0.0.1:{forebay.port}"
        yield Place(url, forebay.env | forebay.running(), OWN_TENANT, MODEL)


def engines(sentences: Path, chat_model: str) -> dict[str, Any]:
    """Returns the engines of a platform that is started: for embeddings, and for words if named."""
    files = {MODEL: sentences}
    if chat_model:
        files[CHAT] = bundled_model() if chat_model == BUNDLED else Path(chat_model)
    return {
        name: {"kind": "llama_cpp", "slots": 4, "launch": {"model": str(file.resolve())}}
        for name, file in files.items()
    }


def _on_platform(options: argparse.Namespace) -> Run:
    webhooks = Webhooks(Shop())
    with _place(options) as place, serving(webhooks) as url:
        installed = _install(options, place, url)
        webhooks.secrets |= installed["secrets"]
        client = Client(place.url, installed["key"])
        simulation = Simulation(client, installed["assistant"], webhooks.shop, options.at_once)
        embeddings = options.sentences.name if options.sentences else place.model
        right = (installed["examples"] or {}).get("right", 0.0)
        run = Run(_about(options, "through the platform", embeddings, right))
        simulation.all(run, options)
    if webhooks.refused:
        raise RuntimeError(f"{webhooks.refused} calls had no right signature")
    return run


def _offline(options: argparse.Namespace) -> Run:
    shop, fields = Shop(), assistant.spec(MODEL, str(uuid.UUID(int=1)))
    spec = msgspec.convert(fields, AssistantSpec)
    with offline.embedder(options.sentences) as embed:
        pages = {name: text.decode() for name, text in injections.pages().items()}
        client = offline.Offline(spec, Handbook(pages, embed), shop, embed)
        place = "the assistant alone, without a platform"
        run = Run(_about(options, place, options.sentences.name, client.right()))
        Simulation(client, NAME, shop, 1).all(run, options)
    return run


def _install(options: argparse.Namespace, place: Place, url: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.service.install"]
    chat = CHAT if options.chat_model and not options.home else options.chat_model
    command += [place.tenant, place.model, chat, url]
    output = subprocess.run(
        command, cwd=REPOSITORY, env=place.env, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    installed: dict[str, Any] = json.loads(output.splitlines()[-1])
    return installed


def _about(
    options: argparse.Namespace, place: str, embeddings: str, right: float
) -> dict[str, Any]:
    return {
        "measured": place,
        "embeddings": embeddings,
        "words": Path(options.chat_model).name or "plain, without a model",
        "seeds": options.seeds,
        "goals of a seed": options.goals,
        "trials of a goal": options.trials,
        "attacks": f"{options.attacks}, of {len(injections.TEMPLATES)} templates",
        "examples classified right, in cross-validation": round(right, 3),
    }


if __name__ == "__main__":
    main()
