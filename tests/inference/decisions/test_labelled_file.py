"""Files of labelled rows."""

from typing import Any

import pytest

from inference.decisions.evaluation.labelled_file import MOST_ROWS, BadFile, Row, rows_in

pytestmark = pytest.mark.unit
TYPES = {"amount": "number", "count": "integer", "night": "boolean", "shop": "string"}


def read(text: str | bytes, group: str = "", wrong: str = "") -> list[Row]:
    data = text.encode() if isinstance(text, str) else text

    def check(row: dict[str, Any]) -> str:
        texts = (k for k, v in row.items() if isinstance(v, str) and TYPES[k] != "string")
        return wrong or next((f"{k} must be a number." for k in texts), "")

    return rows_in(data, "fraud", group, types=TYPES, check=check)


CSV = "amount,count,night,shop,card,fraud\n"


def test_a_csv_is_read_by_the_types_of_the_inputs() -> None:
    assert read(CSV + '12.5,3,yes,"Tea, Ltd",c1,1\n7,0,false,Bank,c2,0\n', "card") == [
        Row({"amount": 12.5, "count": 3, "night": True, "shop": "Tea, Ltd"}, 1, "c1"),
        Row({"amount": 7.0, "count": 0, "night": False, "shop": "Bank"}, 0, "c2"),
    ]


def test_an_empty_cell_is_a_missing_value() -> None:
    assert read(CSV + ",3,yes,,c1,no\n")[0].input == {"count": 3, "night": True}


def test_json_lines_keep_their_values_and_leave_out_what_is_no_input() -> None:
    text = '\n{"amount": 1e2, "fraud": true, "note": "secret"}\n{"fraud": "no"}\n'
    assert read(text) == [Row({"amount": 100.0}, 1), Row({}, 0)]


def test_a_mark_of_byte_order_and_windows_line_ends_are_taken() -> None:
    assert read(b"\xef\xbb\xbfamount,fraud\r\n5,1\r\n") == [Row({"amount": 5.0}, 1)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "1 to 5000 rows"),
        ("amount,fraud\n", "1 to 5000 rows"),
        ("amount\n5\n", "Line 2: it lacks the column fraud"),
        ("amount,fraud\n5,maybe\n", "Line 2: fraud must be 1 or 0"),
        ("amount,fraud\n5\n", "Line 2: it has another number of columns"),
        ("amount,fraud\n5,1,9\n", "Line 2: it has another number of columns"),
        ("amount,fraud\nx,1\n", "Line 2: amount must be a number"),
        ('{"fraud": 1}\n[1]\n', "Line 2: it is no JSON object"),
        ('{"fraud": 1}\n{"fraud"\n', "Line 2: it is no JSON object"),
        ("count,fraud\n²,1\n", "Line 2"),
        ("count,fraud\n--5,1\n", "Line 2"),
        ("count,fraud\n" + "9" * 5_000 + ",1\n", "Line 2"),
        (b"amount,fraud\n\xff,1\n", "not UTF-8"),
        ("amount,fraud\n" + "5,1\n" * (MOST_ROWS + 1), "1 to 5000 rows"),
        ("a" * 1_000_001, "larger than 1000000 bytes"),
    ],
)
def test_a_file_that_cannot_be_taken_is_refused_with_its_lines(
    text: str | bytes, words: str
) -> None:
    with pytest.raises(BadFile, match=words):
        read(text)


def test_a_refusal_never_quotes_a_value() -> None:
    with pytest.raises(BadFile) as refusal:
        read("amount,fraud\n5,secret-4711\n")
    assert "secret" not in str(refusal.value)


def test_a_missing_group_is_refused_and_ten_problems_are_enough() -> None:
    with pytest.raises(BadFile, match="lacks the column card"):
        read("amount,fraud\n5,1\n", "card")
    with pytest.raises(BadFile) as refusal:
        read("amount,fraud\n" + "5,1\n" * 30, wrong="No.")
    assert str(refusal.value).count("Line ") == 10
