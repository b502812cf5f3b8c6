"""Two GPUs that do not exist, as NVIDIA's dcgm-exporter would tell of them.

They are as busy as an engine says it is: hotter, and drawing more, the more it runs.
"""

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAMES = ("GPU-00000000-0000-0000-0000-000000000000", "GPU-11111111-1111-1111-1111-111111111111")
MEMORY_MIB = 81_559
Figures = dict[str, float]


class Gpus:
    def __init__(self, control: str, slots: int) -> None:
        self._control, self._slots = control, slots
        self._at, self._heat, self._energy = time.monotonic(), [35.0, 35.0], [0.0, 0.0]

    def page(self) -> str:
        lines = []
        for number, (name, figures) in enumerate(zip(NAMES, self._figures(), strict=True)):
            labels = f'gpu="{number}",UUID="{name}",modelName="simulated",Hostname="gpu-host"'
            lines += [f"DCGM_FI_DEV_{what}{{{labels}}} {it}" for what, it in figures.items()]
        return "\n".join(lines) + "\n"

    def _figures(self) -> Iterator[Figures]:
        busy, now = self._busy(), time.monotonic()
        passed, self._at = now - self._at, now
        for i, share in enumerate((busy, busy * 0.6)):
            power = 90 + 560 * share
            self._energy[i] += power * passed * 1000
            self._heat[i] += (38 + 45 * share - self._heat[i]) * min(1, passed / 30)
            used = MEMORY_MIB * (0.82 + 0.06 * share)
            yield {
                "GPU_UTIL": round(100 * share),
                "GPU_TEMP": round(self._heat[i]),
                "FB_USED": round(used),
                "FB_FREE": round(MEMORY_MIB - used),
                "POWER_USAGE": round(power, 1),
                "TOTAL_ENERGY_CONSUMPTION": round(self._energy[i]),
            }

    def _busy(self) -> float:
        with urllib.request.urlopen(self._control, timeout=2) as answer:
            return min(1.0, float(json.load(answer)["running"]) / self._slots)


@contextmanager
def simulated_gpus(control: str, slots: int) -> Iterator[str]:
    """The address of their exporter. `control`: where the mock engine tells what it runs."""
    gpus = Gpus(control, slots)

    class Exporter(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = gpus.page().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Exporter) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
