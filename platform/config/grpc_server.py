"""The gRPC process: `python -m config.grpc_server`. It holds no state that is not elsewhere too."""

import asyncio
import os
import signal
import sys

from inference.api.grpc import IS_FIRST  # sets what `grpc` reads: before Django loads all else

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("FOREBAY_DATABASE_SCOPE", "none")

import django

django.setup(set_prefix=False)


import grpc
import jsonschema  # noqa: F401  # the first decision would wait for it
import uvloop
from django.conf import settings

from config import process_heartbeat, tracing
from config.celery import app as celery_app
from config.http.connection_limit import most_connections
from config.metrics.listener import listen
from config.metrics.process import set_ready, set_role
from config.process_heartbeat import tell
from config.process_start import follow_engines, freeze_loaded_objects, startup_problem
from config.tls.key_pair import BadCertificate
from config.tls.served_certificates import Served
from inference import loop_heartbeats
from inference.api import probes
from inference.api.grpc.methods import NAMES, handlers
from inference.api.grpc.server import Secrets, Server, credentials
from inference.intake.context import Context

USUAL_PORT = 50051
HEALTH_S = 2.0


def main() -> None:
    set_role("grpc")
    listen()
    tracing.begin()
    process_heartbeat.begin()
    celery_app.set_default()  # wake-ups are published from here
    if problem := startup_problem() or follow_engines():
        sys.exit(problem)
    try:
        uvloop.run(_serve(_credentials()))
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(f"gRPC cannot listen on {_address()}: {error}")


async def _serve(tls: grpc.ServerCredentials | None) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    context = await Context.open()
    server = Server(
        handlers(context),
        NAMES,
        largest=settings.MAX_BODY_BYTES,
        grace_s=settings.REQUEST_DEADLINE_S,
        connections=most_connections(),
        reflected=settings.GRPC_REFLECTION,
    )
    server.listen(_address(), tls)
    await server.start()
    freeze_loaded_objects()
    tell("READY=1")
    set_ready(it_is=True)
    pulse = asyncio.create_task(loop_heartbeats.keep("grpc"))
    health = asyncio.create_task(_tell_health(server, context))
    await stopping.wait()
    tell("STOPPING=1")
    set_ready(it_is=False)
    health.cancel()
    await server.stop(settings.DRAIN_S)
    await context.close()
    pulse.cancel()


async def _tell_health(server: Server, context: Context) -> None:
    while True:
        checks = await probes.checks(context)
        server.works(well=all(checks.values()))
        await asyncio.sleep(HEALTH_S)


def _credentials() -> grpc.ServerCredentials | None:
    if not settings.GRPC_CERTIFICATE:
        return None
    if not IS_FIRST:
        sys.exit("TLS of gRPC: this port would take TLS 1.2, since grpc was imported too early")
    files = settings.GRPC_CERTIFICATE, settings.GRPC_PRIVATE_KEY, settings.GRPC_CLIENT_CA
    try:
        served = Served("grpc", *files)
    except BadCertificate as problem:
        sys.exit(f"TLS of gRPC: {problem}")

    def current() -> Secrets:
        pair, clients = served.material
        return Secrets(pair.chain, pair.key, clients)

    return credentials(current)


def _address() -> str:
    host = f"[{settings.HOST}]" if ":" in settings.HOST else settings.HOST
    return f"{host}:{settings.GRPC_PORT or USUAL_PORT}"


if __name__ == "__main__":
    main()
