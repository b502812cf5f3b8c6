"""The memory that a run will take, and the largest size that fits, known before the first step.

Measured on SmolLM2-135M, LoRA in fp32 and bf16: 2.9 GB foretold and 3.1 taken at 4 x 256 tokens,
1.1 and 1.2 at 1 x 64.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from trainer.refusals import Exit, Refusal, unusable

LIBRARIES_BYTES = 400 << 20
_WORDS = ("can't allocate memory", "not enough memory", "out of memory", "cannot allocate")


@dataclass(frozen=True, slots=True)
class Footprint:
    """`elements` are the model's numbers, `trained` those that the optimiser moves."""

    elements: int
    trained: int
    layers: int
    width: int
    feed_forward: int
    words: int
    beside: int = 0  # bytes of what else is held, such as a teacher
    processes: int = 1

    @classmethod
    def of(
        cls, config: dict[str, Any], elements: int, rank: int | None, **more: int
    ) -> "Footprint":
        """Reads the shape; with a rank, an adapter on seven matrices is what is trained."""
        names = ("num_hidden_layers", "hidden_size", "intermediate_size", "vocab_size")
        sizes = [size for name in names if isinstance(size := config.get(name), int)]
        if len(sizes) < len(names):
            raise unusable("architecture", "The base is no decoder with layers, such as Llama's")
        layers, width, feed_forward, words = sizes
        adapter = (rank or 0) * layers * (11 * width + 3 * feed_forward)
        trained = adapter if rank else elements
        return cls(elements, trained, layers, width, feed_forward, words, **more)

    def fixed(self) -> int:
        """Weights, gradients and two moments of the optimiser, shared out among processes."""
        return (4 * self.elements + 12 * self.trained) // self.processes + self.beside

    def needed(self, micro_batch: int, length: int) -> int:
        a_layer = 4 * (8 * self.width + 4 * self.feed_forward)
        a_token = self.layers * a_layer + 12 * self.words
        return LIBRARIES_BYTES + self.fixed() + micro_batch * length * a_token

    def largest(self, available: int, micro_batch: int, length: int) -> tuple[int, int] | None:
        """Returns what fits: fewer sequences first, then shorter ones."""
        while self.needed(micro_batch, length) > available:
            if micro_batch > 1:
                micro_batch //= 2
            elif length >= 32:
                length //= 2
            else:
                return None
        return micro_batch, length


def available_memory(device: str) -> int:
    """Returns the bytes that this process may still take."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    return min(int(psutil.virtual_memory().available), _left_of_group())


def micro_batch_that_fits(
    footprint: Footprint, available: int, wanted: int, length: int, *, exactly: bool
) -> int:
    """Returns `wanted` or, unless it must be exactly that, what fits. Refuses what is too large."""
    fit = footprint.largest(available, wanted, length)
    if fit is not None and fit[1] == length and (fit[0] == wanted or not exactly):
        return fit[0]
    needed = footprint.needed(wanted if exactly else 1, length) >> 20
    message = f"The order takes {needed} MiB of memory, {available >> 20} MiB are free"
    fits = {"micro_batch": fit[0], "length": fit[1]} if fit else None
    raise Refusal(Exit.OUT_OF_MEMORY, "out_of_memory", message, fits=fits)


@contextmanager
def memory_refusals(micro_batch: int, length: int) -> Iterator[None]:
    """Turns an allocation that fails all the same into a refusal with half the size."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not _is_about_memory(error):
            raise
        fits = {"micro_batch": micro_batch // 2} if micro_batch > 1 else {"length": length // 2}
        message = f"{micro_batch} sequences of {length} tokens do not fit into the memory"
        raise Refusal(Exit.OUT_OF_MEMORY, "out_of_memory", message, fits=fits) from error


def _is_about_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or any(
        words in str(error).lower() for words in _WORDS
    )


def _left_of_group() -> int:
    """Returns what is left of the limit of a container, in cgroup v2."""
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text().strip()
        used = int((group / "memory.current").read_text())
    except OSError:
        return 1 << 62
    return 1 << 62 if limit == "max" else max(0, int(limit) - used)
