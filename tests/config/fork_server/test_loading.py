"""Loading leaves nothing that two processes must not share: thread, connection, random number."""

import json
import subprocess
import sys
from pathlib import Path

from django.conf import settings

REPOSITORY = Path(settings.BASE_DIR)
LOADING = """
import json, os, secrets, sys, uuid

def refused(draw):
    def first(*arguments):
        caller = sys._getframe(1).f_code.co_filename
        assert "site-packages" in caller, f"{caller} draws what all processes would share"
        return draw(*arguments)
    return first

uuid.uuid4 = refused(uuid.uuid4)
secrets.token_hex = refused(secrets.token_hex)
from config.fork_server import loading

loading.set_up()
steps = sum(1 for _ in loading.the_rest())
from django.db import connections

links = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")[:-1]]
print(json.dumps({
    "steps": steps,
    "tasks": len(os.listdir("/proc/self/task")),
    "sockets": [link for link in links if link.startswith("socket:")],
    "connections": [each for each in connections.all(initialized_only=True) if each.connection],
    "urls": "config.urls" in sys.modules,
}))
"""


def test_nothing_that_lives_is_loaded() -> None:
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": f"{REPOSITORY / 'platform'}:{REPOSITORY}",
        "FOREBAY_HOME": str(settings.FOREBAY_HOME),
        "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none",
        "REDIS_URL": "redis://127.0.0.1:1/0",
    }
    process = subprocess.run(
        [sys.executable, "-c", LOADING],
        env=environment,
        capture_output=True,
        text=True,
        cwd="/",
        timeout=120,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    report = json.loads(process.stdout)
    assert report == {
        "steps": report["steps"],
        "tasks": 1,
        "sockets": [],
        "connections": [],
        "urls": True,
    }
    assert report["steps"] > 10
