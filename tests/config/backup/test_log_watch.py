"""The log is watched over one connection, which a restart of PostgreSQL ends."""

from contextlib import closing

from config.backup.write_ahead_log.log_watch import LogWatch
from tests.config.backup.conftest import Server

_OTHERS = "select pid from pg_stat_activity where usename = 'postgres' and pid <> pg_backend_pid()"


def test_all_looks_take_one_connection(shared: Server) -> None:
    with closing(LogWatch(shared.cluster())) as watch:
        watch.look()
        pids = shared.rows(_OTHERS)
        assert watch.look().written > 0
        assert shared.rows(_OTHERS) == pids


def test_a_connection_that_postgresql_ended_is_opened_anew(shared: Server) -> None:
    with closing(LogWatch(shared.cluster())) as watch:
        before = watch.look()
        shared.rows(f"select pg_terminate_backend(pid) from ({_OTHERS}) as others")
        assert watch.look().written >= before.written
