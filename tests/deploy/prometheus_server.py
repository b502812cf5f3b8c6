"""A Prometheus of our own, as docs/operations/metrics.md has it told of Forebay."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.servers.child import Child
from config.supervisor.ports import find_free
from deploy.grafana.prometheus import Prometheus

PROMETHEUS = shutil.which("prometheus")
EVERY = "2s"  # a scrape; in production 15
_CONFIG = """
global: {{scrape_interval: {every}, scrape_timeout: {every}, evaluation_interval: {every}}}
rule_files: {rules}
scrape_configs:
  - job_name: forebay
    authorization: {{credentials_file: {token}}}
    file_sd_configs: [{{files: [{targets}], refresh_interval: 1s}}]
  - job_name: dcgm
    static_configs: [{{targets: {gpus}}}]
"""


@contextmanager
def prometheus(
    folder: Path, targets: Path, token: Path, *, gpus: list[str], rules: list[Path]
) -> Iterator[Prometheus]:
    """`targets`: the list that the supervisor keeps. `gpus`: addresses of exporters."""
    assert PROMETHEUS
    config, port = folder / "prometheus.yml", find_free()
    told = _CONFIG.format(
        every=EVERY,
        token=token,
        targets=targets,
        gpus=json.dumps(gpus),
        rules=json.dumps([str(path) for path in rules]),
    )
    config.write_text(told)
    command = [
        PROMETHEUS,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    server = Child(command, folder / "prometheus.log")
    try:
        server.wait_until_ready(f"http://127.0.0.1:{port}/-/ready", 60)
        yield Prometheus(f"http://127.0.0.1:{port}")
    except subprocess.SubprocessError:
        raise AssertionError(server.log_tail()) from None
    finally:
        server.stop()
