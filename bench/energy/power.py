"""A model of a GPU that serves a model of 8 billion parameters: time and power, by load and clock.

H100 SXM, 16-bit weights. Decoding reads all weights for each token of a batch, and the memory does
not feel the clock of the multiprocessors; arithmetic does. The figures are published ones:

- Power of decoding at the driver's clock: 300 W for one request, 600 W for 128 (ML.ENERGY benchmark
  3.0, as vLLM's semantic router quotes it), even between, by the logarithm of the batch.
- Idle with a loaded model: 26 to 50 W above the bare idle of some 70 W (arXiv 2605.23918): 120 W.
- Clock: at its best decoding takes up to 32 % less energy (arXiv 2605.11999, H200) or 34 % (arXiv
  2508.16449). FIXED makes it less here: 24 % for one request, 21 % for 16.
- Time: memory 3.35 TB/s and 990 TFLOPS (NVIDIA's data sheet), of which 80 and 50 % are reached.
"""

import math
from dataclasses import dataclass

OWN_MHZ = 1980  # of the driver's own accord
CLOCKS = (1980, 1785, 1590, 1395, 1200, 1005, 810, 615)
BARE_W, IDLE_W, ONE_W, MANY_W, MANY = 70.0, 120.0, 300.0, 600.0, 128
START_S, START_W = 90.0, 200.0  # a server that loads its model
PREFILL_W = 650.0
FIXED = 0.5  # of the power above idle: memory, leakage, and what else has its own clock
LOWEST_VOLTAGE = 0.75  # of the highest, from LEAST_MHZ on down
LEAST_MHZ = 1000

_WEIGHTS, _CACHE = 16e9, 131_072  # bytes: of the model; of a token's keys and values
_BYTES_S, _FLOPS = 3.35e12 * 0.8, 990e12 * 0.5
_FLOP = 2 * 8e9  # of a token


@dataclass(frozen=True, slots=True)
class Gpu:
    """`context`: mean tokens of a request, prompt and answer so far."""

    context: int = 2000

    def token_s(self, requests: int, mhz: int = OWN_MHZ) -> float:
        """Returns the seconds in which each of the requests gets a token."""
        memory = (_WEIGHTS + requests * self.context * _CACHE) / _BYTES_S
        return memory + requests * _FLOP / _FLOPS * OWN_MHZ / mhz

    def prefill_s(self, prompt: int, mhz: int = OWN_MHZ) -> float:
        return prompt * _FLOP / _FLOPS * OWN_MHZ / mhz

    def watts(self, requests: int, mhz: int = OWN_MHZ) -> float:
        if not requests:
            return IDLE_W
        share = math.log2(requests) / math.log2(MANY)
        own = ONE_W + (MANY_W - ONE_W) * share
        return IDLE_W + (own - IDLE_W) * scale(mhz)

    def prefill_watts(self, mhz: int = OWN_MHZ) -> float:
        return IDLE_W + (PREFILL_W - IDLE_W) * scale(mhz)


def scale(mhz: int) -> float:
    """Returns the power above idle at a clock, of that at the driver's: f V², beside FIXED."""
    rise = max(0.0, (mhz - LEAST_MHZ) / (OWN_MHZ - LEAST_MHZ))
    voltage = LOWEST_VOLTAGE + (1 - LOWEST_VOLTAGE) * rise
    return FIXED + (1 - FIXED) * mhz / OWN_MHZ * voltage**2
