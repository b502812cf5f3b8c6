"""How long sealing and verifying a million events take, in a PostgreSQL of its own.

python -m bench.audit_verify [--events 1000000]
"""

import argparse
import asyncio
import json
import os
import resource
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from bench.processes import use_by_role

_INSERT = """
    insert into audit_event (at, action, tenant_id, request_id, actor, subject_id, api_key_id,
        client_net, route, model, upstream, success, status, error_code, response_length,
        processing_ms, tokens_in, tokens_out, payload_sha256, detail)
    select now() - interval '1 hour' + n * interval '1 millisecond',
        case n %% 2 when 0 then 'completion:received' else 'completion:completed' end,
        ('00000000-0000-4000-8000-' || lpad((n %% 40)::text, 12, '0'))::uuid, gen_random_uuid(),
        'key:' || gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), '192.0.2.0',
        '/v1/chat/completions', 'smollm2-135m-instruct', 'llama_cpp', true, 200, '', 512, 843, 122,
        180, sha256(n::text::bytea), '{}'
    from generate_series(%s::int, %s::int) n"""


def _run(events: int) -> dict[str, Any]:
    import psycopg
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection

    from audit import seal
    from audit.verify import opened, verify

    call_command("migrate", verbosity=0)
    with psycopg.connect(settings.DATABASE_URL, autocommit=True, **settings.SEES_ALL) as own:
        for first in range(1, events + 1, 100_000):
            own.execute(_INSERT, [first, min(events, first + 99_999)])
        own.execute("vacuum analyze audit_event")
    found: dict[str, Any] = {"events": events}
    began, sealed, rounds = time.monotonic(), 0, 0
    while count := seal.seal_round():
        sealed, rounds = sealed + count, rounds + 1
    took = time.monotonic() - began
    found["seal"] = {"s": round(took, 2), "rounds": rounds, "events_per_s": round(sealed / took)}
    with connection.cursor() as cursor:
        cursor.execute("vacuum analyze audit_seal")
    found["verify"] = []
    for _ in range(3):
        python, postgres = time.process_time(), _postgres_s()
        with opened() as trail:
            report = verify(trail, texts=False)
        assert report.ok, report.findings
        found["verify"].append(
            {
                "s": round(report.took_s, 2),
                "python_cpu_s": round(time.process_time() - python, 2),
                "postgres_cpu_s": round(_postgres_s() - postgres, 2),
            }
        )
    found["verify_peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return found


def _postgres_s() -> float:
    """CPU seconds, so that a busy machine does not look like slow work."""
    return use_by_role([os.getpid()])["postgres"].cpu_ms / 1000


def main() -> int:
    words = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    words.add_argument("--events", type=int, default=1_000_000)
    events = words.parse_args().events
    folder = Path(tempfile.mkdtemp(prefix="forebay-bench-"))
    folder.chmod(0o755)
    os.environ["FOREBAY_HOME"] = str(folder / "home")
    os.environ["FOREBAY_DATABASE_SCOPE"] = "system"
    os.environ.setdefault("FOREBAY_MFA", "optional")
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    from config.supervisor.home import Home
    from config.supervisor.keeper import Keeper
    from config.supervisor.kin import Kin
    from config.supervisor.postgres import Postgres

    home = Home(folder / "home")
    home.take()
    keeper = Keeper(home, Kin(home))
    postgres = Postgres(home, keeper)
    os.environ["DATABASE_URL"] = postgres.url
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    asyncio.run_coroutine_threadsafe(postgres.start(), loop).result(60)
    try:
        import django

        django.setup()
        print(json.dumps(_run(events), indent=1))
    finally:
        asyncio.run_coroutine_threadsafe(keeper.stop(), loop).result(60)
    return 0


if __name__ == "__main__":
    sys.exit(main())
