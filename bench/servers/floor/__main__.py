"""python -m bench.servers.floor PORT ENGINE: its servers, its tables, its web process, its worker.

It ends with SIGTERM.
"""

import os
import sys
import time
from pathlib import Path

import psycopg

from bench.servers.child import Child, exit_on_sigterm, temporary_folder
from bench.servers.floor import TENANT
from bench.servers.without_platform import own_servers

TABLES = f"""
    create table floor_request (
        id uuid primary key, tenant int not null, at timestamptz not null default now(),
        body bytea not null);
    create table floor_answer (
        id uuid primary key, tenant int not null, at timestamptz not null default now(),
        tokens int not null, body bytea not null);
    create table floor_event (
        id uuid not null, tenant int not null, at timestamptz not null default now(),
        kind text not null, digest bytea not null, primary key (id, kind));
    create table floor_budget (tenant int primary key, reserved bigint, spent bigint);
    insert into floor_budget values ({TENANT}, 0, 0);"""


def main() -> None:
    port, engine = sys.argv[1:]
    exit_on_sigterm()
    with temporary_folder() as folder, own_servers(folder / "home"):
        with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
            connection.execute(TABLES)
        started: list[Child] = []
        try:
            for module, argument in (("worker", engine), ("web", port)):
                command = [sys.executable, "-m", f"bench.servers.floor.{module}", argument]
                started.append(Child(command, Path(folder) / f"{module}.log"))
            while all(child.process.poll() is None for child in started):
                time.sleep(0.5)
            sys.exit("\n".join(child.log_tail() for child in started))
        finally:
            for child in started:
                child.stop()


if __name__ == "__main__":
    main()
