"""What the agent does with a request, with a driver that is staged: within bounds, for a while."""

import logging
import os
import socket
import struct
from pathlib import Path
from typing import cast

import pynvml
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.energy.agent import LEASE_S, LOOK_S, Clocks, _peer_of
from config.energy.bounds import Bounds, Range, read
from infrastructure.gpu_driver import Driver, GpuError
from tests.config.energy.gpus import StagedGpus

pytestmark = pytest.mark.unit


class Hand:
    """A clock that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StagedGpus:
    monkeypatch.setenv("FOREBAY_TEST_NVML_STATE", "")  # restored at the end
    return StagedGpus(tmp_path)


def clocks_of(gpus: StagedGpus, hand: Hand) -> Clocks:
    return Clocks(read(gpus.bounds, os.geteuid()), Driver(gpus.load()), hand)


def test_a_lock_within_bounds_is_set_and_a_reset_takes_it_back(
    gpus: StagedGpus, hand: Hand
) -> None:
    clocks = clocks_of(gpus, hand)

    assert clocks.answer("lock 1 1005") == "ok lock 1 1005"
    assert gpus.clocks == {"0": None, "1": 1005}
    assert clocks.answer("reset 1") == "ok reset 1"
    assert gpus.clocks == {"0": None, "1": None}


@pytest.mark.parametrize("mhz", [599, 1981, 0, 10**30])
def test_a_clock_out_of_bounds_never_reaches_the_driver(
    gpus: StagedGpus, hand: Hand, mhz: int
) -> None:
    answer = clocks_of(gpus, hand).answer(f"lock 0 {mhz}")

    assert answer.startswith("refused: GPU 0 may have 600 to 1980 MHz")
    assert gpus.clocks["0"] is None


WORDS = st.sampled_from(["lock", "reset", "0", "1", "900", "901", "-1", "9e2", "٩٠٠", ""])


@settings(max_examples=50)
@given(st.lists(WORDS | st.text(max_size=5), max_size=4).map(" ".join))
def test_whatever_is_sent_only_the_two_verbs_do_anything(text: str) -> None:
    calls = []

    class Recorder(Driver):
        def lock(self, gpu: str, mhz: int) -> None:
            calls.append(["lock", gpu, str(mhz)])

        def reset(self, gpu: str) -> None:
            calls.append(["reset", gpu])

    bounds = Bounds({"0": Range(900, 900)}, frozenset({1}), dry_run=False)
    answer = Clocks(bounds, Recorder()).answer(text)

    wanted = text.split()
    expected = wanted in (["lock", "0", "900"], ["reset", "0"])
    assert calls == ([wanted] if expected else [])
    assert answer.startswith("ok " if expected else "refused: ")


def test_a_lock_that_nobody_repeats_is_gone_within_five_seconds(
    gpus: StagedGpus, hand: Hand
) -> None:
    clocks = clocks_of(gpus, hand)
    clocks.answer("lock 0 1005")
    for _second in range(20):
        hand.now += 1
        clocks.expire()
        assert gpus.clocks["0"] == 1005, "it was repeated in time"
        clocks.answer("lock 0 1005")

    hand.now += LEASE_S
    clocks.expire()

    assert gpus.clocks["0"] is None
    assert LEASE_S + LOOK_S < 5


def test_a_gpu_that_one_process_has_locked_is_no_others(gpus: StagedGpus, hand: Hand) -> None:
    """Two governors, or one and a sweep, would change its clock forth and back."""
    clocks = clocks_of(gpus, hand)
    clocks.answer("lock 0 1005", 71)
    assert clocks.answer("lock 0 1200", 72) == "refused: process 71 has locked GPU 0"
    assert clocks.answer("lock 1 1200", 72) == "ok lock 1 1200"
    assert gpus.clocks == {"0": 1005, "1": 1200}

    hand.now += LEASE_S
    clocks.expire()
    assert clocks.answer("lock 0 1200", 72) == "ok lock 0 1200", "the first one is gone"
    assert clocks.answer("reset 0", 71) == "ok reset 0", "the driver's own clock harms nobody"


def test_the_peer_is_told_by_the_kernel_whatever_its_number() -> None:
    class Connection:
        def getsockopt(self, *_arguments: int) -> bytes:
            return struct.pack("iII", 71, 3_000_000_000, 9)

    assert _peer_of(cast(socket.socket, Connection())) == (71, 3_000_000_000)


def test_the_silence_about_one_gpu_does_not_end_the_lock_of_another(
    gpus: StagedGpus, hand: Hand
) -> None:
    clocks = clocks_of(gpus, hand)
    clocks.answer("lock 0 1005")
    clocks.answer("lock 1 1200")
    hand.now += LEASE_S - 1
    clocks.answer("lock 1 1200")
    hand.now += 1.5
    clocks.expire()

    assert gpus.clocks == {"0": None, "1": 1200}


def test_a_dry_run_says_what_it_would_do_and_touches_nothing(
    gpus: StagedGpus, hand: Hand, caplog: pytest.LogCaptureFixture
) -> None:
    gpus.allow(dry_run=True)
    gpus.change(broken={"lock": 1, "reset": 1, "init": 1})
    clocks = clocks_of(gpus, hand)
    with caplog.at_level(logging.INFO):
        assert clocks.answer("lock 0 1005") == "ok lock 0 1005 (dry run)"
        assert clocks.reset_all("the agent ends")

    assert "GPU 0: lock at 1005 MHz (dry run)" in caplog.text
    assert "GPU 1: reset, the agent ends (dry run)" in caplog.text
    assert gpus.clocks == {"0": None, "1": None}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("NO_PERMISSION", "only root may lock clocks"),
        ("GPU_IS_LOST", "fallen off the bus"),
        ("NOT_SUPPORTED", "cannot lock clocks"),
        ("DRIVER_NOT_LOADED", "the driver is not loaded"),
        ("LIB_RM_VERSION_MISMATCH", "restart the host"),
        ("UNINITIALIZED", "GPU 0"),
        ("UNKNOWN", "GPU 0"),
        ("INVALID_ARGUMENT", "no such GPU or clock"),
    ],
)
def test_each_error_of_the_driver_is_told_in_words(
    gpus: StagedGpus, hand: Hand, error: str, words: str
) -> None:
    gpus.change(broken={"lock": getattr(pynvml, f"NVML_ERROR_{error}")})

    answer = clocks_of(gpus, hand).answer("lock 0 1005")

    assert answer.startswith("refused: ")
    assert words in answer


def test_a_host_without_a_driver_says_so(gpus: StagedGpus, hand: Hand) -> None:
    gpus.change(broken={"init": pynvml.NVML_ERROR_LIBRARY_NOT_FOUND})

    assert "no NVIDIA driver" in clocks_of(gpus, hand).answer("lock 0 1005")


def test_after_a_driver_restart_the_next_lock_opens_it_anew(gpus: StagedGpus, hand: Hand) -> None:
    clocks = clocks_of(gpus, hand)
    gpus.change(broken={"lock": pynvml.NVML_ERROR_UNINITIALIZED})
    assert clocks.answer("lock 0 1005").startswith("refused")
    gpus.change(broken={}, clocks={"0": None, "1": None})

    assert clocks.answer("lock 0 1005") == "ok lock 0 1005"
    assert gpus.clocks["0"] == 1005


def test_a_repeated_lock_reaches_a_driver_that_has_forgotten_it(
    gpus: StagedGpus, hand: Hand
) -> None:
    clocks = clocks_of(gpus, hand)
    clocks.answer("lock 0 1005")
    gpus.change(clocks={"0": None, "1": None})
    clocks.answer("lock 0 1005")

    assert gpus.clocks["0"] == 1005


def test_a_gpu_that_is_lost_harms_no_other_and_is_reset_when_it_is_back(
    gpus: StagedGpus, hand: Hand, caplog: pytest.LogCaptureFixture
) -> None:
    clocks = clocks_of(gpus, hand)
    clocks.answer("lock 0 1005")
    clocks.answer("lock 1 1200")
    gpus.change(broken={"reset 0": pynvml.NVML_ERROR_GPU_IS_LOST})
    caplog.set_level(logging.INFO)
    caplog.clear()
    for _look in range(40):  # ten seconds
        hand.now += LOOK_S
        clocks.expire()
    assert gpus.clocks == {"0": 1005, "1": None}
    assert caplog.text.count("GPU 0") == 1, "it is tried each second, and told once"

    gpus.change(broken={})
    hand.now += 1
    clocks.expire()

    assert gpus.clocks == {"0": None, "1": None}


def test_a_lock_that_fails_half_way_is_reset_at_the_end_of_its_lease(
    gpus: StagedGpus, hand: Hand
) -> None:
    clocks = clocks_of(gpus, hand)
    gpus.change(broken={"lock": pynvml.NVML_ERROR_UNKNOWN})
    clocks.answer("lock 0 1005")
    gpus.change(clocks={"0": 1005, "1": None})  # the driver did it all the same
    hand.now += LEASE_S
    clocks.expire()

    assert gpus.clocks["0"] is None


def test_gpus_may_be_named_by_uuid(tmp_path: Path, hand: Hand) -> None:
    gpus = StagedGpus(tmp_path, ("GPU-1b2c",))

    assert clocks_of(gpus, hand).answer("lock GPU-1b2c 1005") == "ok lock GPU-1b2c 1005"
    assert gpus.clocks == {"GPU-1b2c": 1005}


def test_energy_and_supported_clocks_are_read_without_a_lock(gpus: StagedGpus) -> None:
    gpus.change(millijoules={"0": 12_000}, uuids={"0": "GPU-1b2c"})
    driver = Driver(gpus.load())

    assert driver.millijoules("0") == driver.millijoules("GPU-1b2c") == 12_000
    assert driver.uuids(["0", "GPU-1b2c", "7"]) == {"GPU-1b2c", "7"}
    assert driver.clocks("0") == [510, 810, 1005, 1200, 1500, 1980]
    with pytest.raises(GpuError, match="no such GPU"):
        driver.millijoules("7")
