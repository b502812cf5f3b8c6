"""python -m config.supervisor: the order of events, from the lock to the last process."""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Ctrl-C while modules are loaded: nothing runs yet, and nobody wants a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import asyncio
import ctypes
import errno
import json
import logging
import sys
import traceback
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from config import environment, machine_clock, watchdog
from config.logs import captured_output
from config.logs.formatting import AsJson
from config.supervisor import options, ports
from config.supervisor.home import Home
from config.supervisor.keeper import Keeper
from config.supervisor.options import Options
from config.supervisor.own_certificates import OwnCertificates
from config.supervisor.own_processes import Kin
from config.supervisor.preparation import Preparing
from config.supervisor.processes import Processes, together
from config.supervisor.scrape_targets import ScrapeTargets
from config.supervisor.screen import Problem, say
from config.supervisor.servers import Servers
from config.supervisor.welcome import welcome
from config.supervisor.workers import Workers
from config.systemd_notify import tell
from config.tls import configured_files
from config.tls.key_pair import BadCertificate, read
from inference import pulses

_PR_SET_PDEATHSIG = 1
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def main() -> None:
    if "--end-with-parent" in sys.argv:  # a `make` that is killed takes us along, in order
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if environment.log_format() == "json":
        _log_in_json()
    try:
        environment.tell_libraries()
        told = options.read()
        home = Home(told.home)
        home.take()
    except Problem as problem:
        sys.exit(f"forebay: {problem}")
    try:
        asyncio.run(_supervise(told, home, servers_alone="--servers" in sys.argv))
    except Problem as problem:
        sys.exit(f"forebay: {problem}")
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            sys.exit(f"forebay: no room on the disk of {home.root}: {error}")
        log = home.logs / "supervisor.log"
        log.write_text(traceback.format_exc())
        sys.exit(f"forebay: internal error, {type(error).__name__}: {error} (see {log})")


def _log_in_json() -> None:
    """What it says to the person at the terminal, too."""
    captured_output.begin()
    handler = logging.StreamHandler()
    handler.setFormatter(AsJson())
    logging.basicConfig(handlers=[handler])


async def _supervise(told: Options, home: Home, *, servers_alone: bool) -> None:
    kin = Kin(home)
    kin.end_orphans()
    home.env_file.unlink(missing_ok=True)
    told = _with_ports(told)
    if wrong_clock := machine_clock.problem():
        raise Problem(wrong_clock)
    say("The servers are starting" if servers_alone else "Forebay is starting")
    keeper = Keeper(home, kin)
    keeper.watch()
    watchdog.begin()
    keeper.alongside(pulses.keep("supervisor"))
    if certificates := OwnCertificates.wanted(told):
        certificates.make()
        keeper.alongside(certificates.keep())
    _look_at_certificates()
    try:
        starting = _start_servers if servers_alone else _start
        await _until_told_to_stop(starting(told, home, keeper), keeper)
    finally:
        await keeper.stop()
        ScrapeTargets(home, told.metrics_port).clear()
        home.env_file.unlink(missing_ok=True)
    say("Stopped")


def _with_ports(told: Options) -> Options:
    if told.has("web"):
        ports.require_free(told.host, told.port)
    if not told.has("grpc"):
        return replace(told, grpc_port=0)
    if told.grpc_port:
        ports.require_free(told.host, told.grpc_port, "FOREBAY_GRPC_PORT")
    elif told.grpc_port is None:
        return replace(told, grpc_port=ports.first_free(told.host, options.GRPC_PORT))
    return told


def _look_at_certificates() -> None:
    """Those that every port has: whatever is wrong is said once, not by each process."""
    if (files := configured_files.own_files())[0]:
        try:
            read(*files)
        except BadCertificate as problem:
            raise Problem(f"TLS: {problem}") from None


async def _start(told: Options, home: Home, keeper: Keeper) -> None:
    servers = Servers(told, home, keeper)
    variables = servers.variables(told)
    home.write_private(home.env_file, json.dumps(variables))
    preparing = Preparing(home, keeper, variables)
    processes = Processes(told, home, keeper, variables)

    async def platform() -> None:
        await together(_database(told, servers, preparing), servers.start_redis())
        await preparing.prepare_start(first_run=told.has("web"))
        servers.engines_are_registered()
        if told.has("workers"):
            await Workers(told, keeper, processes, servers).start()
        await processes.start()

    await together(platform(), servers.start_engine())
    tell("READY=1")
    welcome(told, preparing.first_run, next(iter(servers.engines), "MODEL"))


async def _start_servers(told: Options, home: Home, keeper: Keeper) -> None:
    """For a restore: nobody asks for anything, and management commands find the database."""
    servers = Servers(told, home, keeper)
    if not servers.has_own_database:
        raise Problem("DATABASE_URL names a PostgreSQL of yours: there is none of ours to start")
    variables = servers.variables(told)
    home.write_private(home.env_file, json.dumps(variables))
    await together(servers.start_database(), servers.start_redis())
    await Preparing(home, keeper, variables).migrate(servers.administrator)
    say(f"\nNothing else runs on {home.root}. Ctrl-C stops the servers.")


async def _database(told: Options, servers: Servers, preparing: Preparing) -> None:
    await servers.start_database()
    if not told.roles:  # of several hosts none migrates by itself
        await preparing.migrate(servers.administrator)


async def _until_told_to_stop(starting: Coroutine[Any, Any, None], keeper: Keeper) -> None:
    """A first signal stops in order, a second at once."""
    told_to_stop = asyncio.Event()

    def stop() -> None:
        if told_to_stop.is_set():
            keeper.kill()
        else:
            say("\nStopping")
            told_to_stop.set()

    signals = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup
        signals.remove(signal.SIGHUP)
    for number in signals:
        asyncio.get_running_loop().add_signal_handler(number, stop)
    work = asyncio.create_task(starting)
    stopping = asyncio.create_task(told_to_stop.wait())
    try:
        await asyncio.wait([work, stopping], return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
        await stopping
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


if __name__ == "__main__":
    main()
