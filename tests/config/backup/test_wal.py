import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.backup.write_ahead_log.positions import Piece, Segment, position
from config.backup.write_ahead_log.shipping import contiguous

pytestmark = pytest.mark.unit
SIZES = st.sampled_from([1 << 20, 1 << 24, 1 << 30])
POSITIONS = st.integers(0, (1 << 64) - 1)


@given(st.integers(1, 0xFFFFFFFF), POSITIONS, SIZES)
def test_a_segments_name_says_all_of_it(timeline: int, at: int, size: int) -> None:
    segment = Segment.at(timeline, at, size)
    assert Segment.named(segment.name, size) == segment
    assert segment.begins <= at < segment.later(1).begins


@given(st.integers(1, 9), POSITIONS, SIZES)
def test_names_sort_as_the_log_goes(timeline: int, at: int, size: int) -> None:
    segment = Segment.at(timeline, at // 2, size)
    assert segment.name < segment.later(1).name


@pytest.mark.parametrize(
    ("at", "name"),
    [  # from pg_walfile_name() with segments of 16 MiB
        ("0/2000028", "000000010000000000000002"),
        ("0/FF000000", "0000000100000000000000FF"),
        ("1/0", "000000010000000100000000"),
        ("16/B374D848", "0000000100000016000000B3"),
    ],
)
def test_names_are_postgresqls(at: str, name: str) -> None:
    assert Segment.at(1, position(at), 1 << 24).name == name


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=12))
def test_pieces_count_up_to_the_first_hole(spans: list[tuple[int, int]]) -> None:
    pieces = [Piece("0" * 24, begins, begins + length) for begins, length in spans]
    covered = {byte for piece in pieces for byte in range(piece.begins, piece.ends)}
    first_hole = next(byte for byte in range(100) if byte not in covered)
    assert contiguous(pieces) == first_hole


def test_a_pieces_name_says_all_of_it() -> None:
    piece = Piece("000000010000000000000003", 0x60, 0x38B50)
    assert Piece.named(piece.name) == piece
    assert Piece.named("000000010000000000000003") is None
