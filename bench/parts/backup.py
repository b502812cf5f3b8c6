"""The cost of streaming the log, the time of a restore, and what a lost machine loses."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from bench.compare.comparison import Row, summary
from bench.figures import Aim, cell, paragraphs, ratio, table, tell
from bench.load.generator import LoadReport
from bench.parts.backup_loss import Loss, lose_under_load
from bench.servers.child import REPOSITORY, temporary_folder
from bench.servers.forebay import Forebay, forebay_on_mock_engine
from bench.servers.processes import cpu_ms_since
from bench.servers.targets import Target, send

RATE, TOKENS = 200, 8
WITHOUT, WITH = "without backups", "with backups"
_ROW = 8000  # bytes of a filler row, half of which compresses
_FIRST_BASE_S = 300
METHOD = f"""\
Two platforms on this machine, one of which streams its log into a folder, take turns in short
slices of {RATE} JSON requests/s; CPU is that of all their processes, the backups' among them.
Then the database is filled (half of the filler compresses), backed up, restored beside itself and
verified, and at last every process is killed under load: "lost" are acknowledged answers that the
database lacks once it is restored from the folder alone."""


@dataclass(slots=True)
class BackupReport:
    megabytes: int
    rounds: int
    seconds: float
    rows: list[Row]  # without and with backups
    base_s: float
    stored_mb: float
    restore_s: float
    check_s: float
    findings: list[str]
    loss: Loss

    @property
    def cpu_ratio(self) -> float | None:
        without, with_backups = self.rows
        return ratio(with_backups.cpu_ms, without.cpu_ms)


def measure(megabytes: int, rounds: int, seconds: float) -> BackupReport:
    with temporary_folder() as place:
        variables = {"FOREBAY_BACKUP_TO": str(place), "FOREBAY_BACKUP_VERIFY_AT": "off"}
        with (
            forebay_on_mock_engine() as (plain_mock, plain),
            forebay_on_mock_engine(variables=variables) as (mock, forebay),
        ):
            for engine in (plain_mock, mock):
                engine.control(tokens=TOKENS, interval_ms=0)
            _wait_for_first_base(forebay)
            rows = _cost({WITHOUT: plain.target(), WITH: forebay.target()}, rounds, seconds)
            plain.stop()
            tell(f"backup: {megabytes:,} MB of filler")
            _fill(forebay, megabytes)
            base = _typed(forebay, "now")
            verified = _typed(forebay, "verify")
            loss = lose_under_load(forebay, place, seconds)
    return BackupReport(
        megabytes=megabytes,
        rounds=rounds,
        seconds=seconds,
        rows=rows,
        base_s=base["took_s"],
        stored_mb=base["stored_bytes"] / 1e6,
        restore_s=verified["restore_s"],
        check_s=verified["check_s"],
        findings=verified["findings"],
        loss=loss,
    )


def _wait_for_first_base(forebay: Forebay) -> None:
    deadline = time.monotonic() + _FIRST_BASE_S
    while not _typed(forebay, "status")["base"]:
        if time.monotonic() > deadline:
            raise TimeoutError("there is no base backup")
        time.sleep(1)


def _cost(targets: dict[str, Target], rounds: int, seconds: float) -> list[Row]:
    slices: dict[str, list[LoadReport]] = {name: [] for name in targets}
    for number in range(rounds):
        tell(f"backup round {number + 1}/{rounds}")
        for name, target in targets.items():
            slices[name].append(_slice(target, seconds))
    return [summary(f"{RATE}/s", name, several) for name, several in slices.items()]


def _slice(target: Target, seconds: float) -> LoadReport:
    options = target.options(
        rate=RATE, seconds=seconds, warmup=0.0, tokens=TOKENS, max_tokens=TOKENS
    )
    send(replace(options, seconds=1.5))
    before = target.use()
    report = send(options)
    good = max(1, report.all - report.bad)
    report.cpu_ms = {n: ms / good for n, ms in cpu_ms_since(before, target.use()).items()}
    return report


def _fill(forebay: Forebay, megabytes: int) -> None:
    password = (forebay.home / "secrets" / "postgres.password").read_text().strip()
    url = forebay.running()["DATABASE_URL"]
    address = f"postgresql://{url.partition('://')[2]}"
    superuser = make_conninfo(address, user="postgres", password=password, dbname="postgres")
    with psycopg.connect(superuser) as connection, connection.cursor() as cursor:
        cursor.execute("create table filler (content bytea storage external)")
        with cursor.copy("copy filler from stdin (format binary)") as copy:
            copy.set_types(["bytea"])
            for _ in range(megabytes * 1_000_000 // _ROW):
                copy.write_row([os.urandom(_ROW // 2) + bytes(_ROW // 2)])


def _typed(forebay: Forebay, command: str) -> dict[str, Any]:
    """Returns what `forebay backup COMMAND --json` prints, and how long it took."""
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-m", "config.command", "backup", command, "--json"],
        cwd=REPOSITORY,
        env=forebay.env,
        stdout=subprocess.PIPE,
        text=True,
    )
    return {**json.loads(ended.stdout), "took_s": time.monotonic() - began}


def section(report: BackupReport) -> str:
    cost = table(
        (f"{RATE} JSON requests/s", "CPU ms each", "p50 ms", "p99 ms", "bad"),
        (
            (row.target, cell(row.cpu_ms), cell(row["p50_ms"]), cell(row["p99_ms"]), f"{row.bad}")
            for row in report.rows
        ),
    )
    restore = table(
        ("database", "base backup", "stored", "restored in", "checked in", "findings"),
        [
            (
                f"{report.megabytes:,} MB",
                f"{cell(report.base_s)} s",
                f"{cell(report.stored_mb)} MB",
                f"{cell(report.restore_s)} s",
                f"{cell(report.check_s)} s",
                f"{len(report.findings)}",
            )
        ],
    )
    loss = report.loss
    lost = (
        f"Killed under load: {loss.lost:,} of {loss.acknowledged:,} acknowledged answers lost, the "
        f"last {cell(loss.lost_s)} s; restored in {cell(loss.restore_s)} s."
    )
    return paragraphs(cost, restore, lost, METHOD)


def aims(report: BackupReport) -> Iterator[Aim]:
    cpu = report.cpu_ratio
    yield Aim("CPU of a request with backups", cpu and (cpu - 1) * 100, "% more", 3)
    if report.megabytes >= 10_000:
        yield Aim("10 GB restored and verified", report.restore_s + report.check_s, "s", 600)
    yield Aim("backup verified: findings", len(report.findings), "", 0)
    yield Aim("acknowledged answers lost with the machine", report.loss.lost_s, "s", 5)
