"""Rows, index entries and bytes of WAL, from the words of pg_waldump."""

import pytest

from bench.parts.rows import Load, RowsReport, Written, section, written

pytestmark = pytest.mark.unit
NAMES = {"10": ("usage", "usage"), "11": ("usage", "usage_pkey")}
RECORDS = """\
rmgr: Heap len (rec/tot): 200/ 8200, tx: 7, desc: INSERT+INIT off: 1, blkref #0: rel 1663/5/10 FPW
rmgr: Btree       len (rec/tot): 64/    64, tx:  7, desc: INSERT_LEAF blkref #0: rel 1663/5/11 blk 1
rmgr: Heap        len (rec/tot): 150/   150, tx:  8, desc: HOT_UPDATE blkref #0: rel 1663/5/10 blk 0
rmgr: Btree       len (rec/tot): 80/    80, tx:  8, desc: SPLIT_R blkref #0: rel 1663/5/11 blk 1
rmgr: Heap        len (rec/tot): 54/ 54, tx: 8, desc: LOCK xmax: 8, blkref #0: rel 1663/5/12 blk 0
rmgr: Transaction len (rec/tot): 46/    46, tx:  8, desc: COMMIT 2026-12-01 10:00:00 UTC
"""


def test_what_each_relation_gets_for_one_request() -> None:
    assert written(RECORDS, NAMES, requests=2) == [
        Written("others", "others", 27.0, {}),
        Written("usage", "usage", 175.0, {"inserted": 0.5, "hot": 0.5}),
        Written("usage", "usage_pkey", 72.0, {"entries": 1.0}),
    ]


def test_the_section_sums_it_up() -> None:
    load = Load(1, 2, 274.0, 0.5, written(RECORDS, NAMES, requests=2))
    text = section(RowsReport([load]))
    assert "0.50 rows, 0.50 HOT and 0.00 other updates, 1.00 index entries, 274 bytes" in text
    assert "| usage | usage_pkey |  |  |  | 1.00 | 72.0 |" in text
