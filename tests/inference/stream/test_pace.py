from inference.stream.writer import PICTURE_S, Pace


def looks(pace: Pace, *seen: tuple[float, int]) -> list[bool]:
    """`seen`: when, in units of PICTURE_S, and how many events had come."""
    return [pace.is_fast(came, 100 + at * PICTURE_S) for at, came in seen]


def test_a_stream_is_fast_while_more_than_one_event_comes_in_a_picture() -> None:
    assert looks(Pace(), (0, 1), (0.5, 1), (1.5, 2), (2.6, 3)) == [False, True, True, True]


def test_a_slower_one_never_waits() -> None:
    assert not any(looks(Pace(), *((1.2 * n, 1) for n in range(20))))


def test_one_that_has_become_slow_waits_no_more() -> None:
    assert looks(Pace(), (0, 2), (1.1, 1), (2.3, 1)) == [True, False, False]
