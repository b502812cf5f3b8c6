"""Start everything in order, from the lock to the last process: python -m config.supervisor."""

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

from config import environment, machine_clock, process_heartbeat
from config.logs import printed_text
from config.logs.formatting import AsJson
from config.process_heartbeat import tell
from config.supervisor import backups, ports
from config.supervisor.home import Home
from config.supervisor.keeper import Keeper
from config.supervisor.options import GRPC_PORT, RunOptions
from config.supervisor.options import read as read_options
from config.supervisor.own_certificates import OwnCertificates
from config.supervisor.own_processes import OwnProcesses
from config.supervisor.processes import FirstRun, Processes, run_concurrently
from config.supervisor.scrape_targets import ScrapeTargets
from config.supervisor.servers import Servers
from config.supervisor.terminal import RunProblem, say
from config.supervisor.welcome import welcome
from config.supervisor.worker_processes import WorkerProcesses
from config.supervisor.workers import Workers
from config.tls import configured_files
from config.tls.key_pair import BadCertificate, read
from inference import loop_heartbeats

_PR_SET_PDEATHSIG = 1
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def main() -> None:
    if "--end-with-parent" in sys.argv:  # if `make` is killed, we stop in order
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if environment.log_format() == "json":  # also what is said to the person at the terminal
        printed_text.begin()
        handler = logging.StreamHandler()
        handler.setFormatter(AsJson())
        logging.basicConfig(handlers=[handler])
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # whoever starts us may ignore it
    home = Home(environment.HOME)
    try:
        home.take()
        home.env_file.unlink(missing_ok=True)  # of a run that was killed: no setting of this one
        environment.tell_libraries()
        options = read_options()
        asyncio.run(_supervise(options, home, servers_alone="--servers" in sys.argv))
    except RunProblem as problem:
        sys.exit(f"forebay: {problem}")
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            sys.exit(f"forebay: no room on the disk of {home.root}: {error}")
        log = home.logs / "supervisor.log"
        log.write_text(traceback.format_exc())
        sys.exit(f"forebay: internal error, {type(error).__name__}: {error} (see {log})")


async def _supervise(options: RunOptions, home: Home, *, servers_alone: bool) -> None:
    own_processes = OwnProcesses(home)
    own_processes.end_orphans()
    options = _with_ports(options)
    if wrong_clock := machine_clock.problem():
        raise RunProblem(wrong_clock)
    say("The servers are starting" if servers_alone else "Forebay is starting")
    keeper = Keeper(home, own_processes)
    keeper.watch()
    process_heartbeat.begin()
    keeper.run_alongside(loop_heartbeats.keep("supervisor"))
    if certificates := OwnCertificates.wanted(options):
        certificates.make()
        keeper.run_alongside(certificates.keep())
    _look_at_certificates()
    try:
        starting = _start_servers if servers_alone else _start
        await _until_told_to_stop(starting(options, home, keeper), keeper)
    finally:
        await keeper.stop()
        ScrapeTargets(home, options.metrics_port).clear()
        home.env_file.unlink(missing_ok=True)
    say("Stopped")


def _with_ports(options: RunOptions) -> RunOptions:
    if options.has("web"):
        ports.require_free(options.host, options.port)
    if not options.has("grpc"):
        return replace(options, grpc_port=0)
    if options.grpc_port:
        ports.require_free(options.host, options.grpc_port, "FOREBAY_GRPC_PORT")
    elif options.grpc_port is None:
        return replace(options, grpc_port=ports.first_free(options.host, GRPC_PORT))
    return options


def _look_at_certificates() -> None:
    """Raise RunProblem for the certificate of all ports, once here rather than in each process."""
    if (files := configured_files.own_files())[0]:
        try:
            read(*files)
        except BadCertificate as problem:
            raise RunProblem(f"TLS: {problem}") from None


async def _start(options: RunOptions, home: Home, keeper: Keeper) -> None:
    servers = Servers(options, home, keeper)
    keeper.begin_forking(servers.variables(options))
    processes = _processes(options, home, keeper, servers)
    first_run = FirstRun()

    async def database() -> None:
        await servers.start_database()
        if not options.roles:  # with several hosts, the operator runs `migrate`
            await processes.migrate(servers.administrator)

    async def platform() -> None:
        nonlocal first_run
        await run_concurrently(database(), servers.start_redis())
        await backups.start(processes, servers)  # commits may wait for it
        first_run = await processes.prepare_start(first_run=options.has("web"))
        servers.note_registered_engines()
        if options.has("workers"):
            most = max(options.worker_processes, options.workers_per_engine)
            worker_processes = WorkerProcesses(home, processes, most)
            await Workers(options, keeper, worker_processes, servers).start()
            if options.governs_clocks:
                processes.govern_clocks()
        await processes.start()

    await run_concurrently(platform(), servers.start_engine())
    tell("READY=1")
    welcome(options, first_run, next(iter(servers.engines), "MODEL"))


async def _start_servers(options: RunOptions, home: Home, keeper: Keeper) -> None:
    """Start the servers alone, for a restore.

    No process answers requests meanwhile, and management commands find the database.
    """
    servers = Servers(options, home, keeper)
    if not servers.has_own_database:
        raise RunProblem("DATABASE_URL names a PostgreSQL of yours: there is none of ours to start")
    processes = _processes(options, home, keeper, servers)
    await run_concurrently(servers.start_database(), servers.start_redis())
    await processes.migrate(servers.administrator)
    say(f"\nNothing else runs on {home.root}. Ctrl-C stops the servers.")


def _processes(options: RunOptions, home: Home, keeper: Keeper, servers: Servers) -> Processes:
    """Returns the processes, and writes their variables for management commands."""
    variables = servers.variables(options)
    home.write_private(home.env_file, json.dumps(variables))
    return Processes(options, home, keeper, variables)


async def _until_told_to_stop(starting: Coroutine[Any, Any, None], keeper: Keeper) -> None:
    """Run until a signal comes: the first stops in order, a second kills."""
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
