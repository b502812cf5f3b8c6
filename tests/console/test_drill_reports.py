"""Reports on drills: signed, in both languages, evidence of the compliance page, and an alert."""

import base64
import json
import re
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from audit.actions import Action
from audit.keys import signing
from audit.models import CheckRun, Event
from audit.offline import forebay_verify
from config.drills import lock, session
from config.drills.attempts import Attempt, Outcome
from config.drills.consistency import Consistency
from config.environment import PROJECT
from console.compliance import runs
from console.compliance.check import CheckOutcome
from console.compliance.checks import CHECKS
from console.compliance.drills import document, evidence, picture, report
from console.compliance.drills.kinds import KINDS
from tests.console.drill_results import made, result

pytestmark = pytest.mark.django_db
ANSWERED = Attempt("rest", "rest 0", 1.0, 2.0, Outcome.ANSWERED, ("a",))


def test_a_report_sums_up_its_drills() -> None:
    summary = made(result(rto_s=20), result(rto_s=30), result(rto_s=25))["body"]["summary"]
    assert summary["drills"] == 3
    assert (summary["rto_p50_s"], summary["rto_max_s"]) == (25, 30)
    assert (summary["acknowledged"], summary["lost"], summary["failed"]) == (750, 0, 0)


def test_a_drill_that_was_stopped_has_no_rto_to_sum_up() -> None:
    stopped = result(rto_s=0.0, problems=["stopped before its end"])
    summary = made(stopped, result(rto_s=30))["body"]["summary"]
    assert (summary["rto_p50_s"], summary["rto_max_s"], summary["failed"]) == (30, 30, 1)


def test_every_form_verifies_without_the_platform(tmp_path: Path, capsys: Any) -> None:
    key = base64.b64encode(signing.public_key()).decode()
    files = session.write(made(), tmp_path)
    assert {file.name for file in files} == {
        *("drills.json", "drills.html", "drills.pdf"),
        *("drills.zh.html", "drills.zh.pdf"),
    }
    for name in ("drills.json", "drills.html", "drills.zh.html"):
        file = tmp_path / name
        assert forebay_verify.main(["report", str(file), "--public-key", key]) == 0
        good = file.read_bytes()
        file.write_bytes(good.replace(b"21.5", b"12.5", 1))
        assert forebay_verify.main(["report", str(file), "--public-key", key]) == 1
    capsys.readouterr()


def test_the_picture_has_room_for_each_name() -> None:
    """A letter of 12 px takes 6.9 px at most, on average over a name; a Chinese one takes 12."""
    for kind in KINDS.values():
        assert 10 + 6.9 * len(kind.label.en) < picture.LABELS
        assert 10 + 12 * len(kind.label.zh) < picture.LABELS


def test_the_example_verifies_and_is_the_picture_of_the_docs(capsys: Any) -> None:
    docs = PROJECT / "docs"
    (key,) = re.findall(r"key\n`(\S{43}=)`", (docs / "examples" / "README.md").read_text())
    file = docs / "examples" / "drills" / "drills.json"
    assert forebay_verify.main(["report", str(file), "--public-key", key]) == 0
    capsys.readouterr()
    body = json.loads(file.read_text())["body"]
    assert (docs / "images" / "drills.svg").read_text() == picture.drawn(body, "en") + "\n"


def test_pages_have_one_language_and_the_picture() -> None:
    english, chinese = (report.as_html(made(), each).decode() for each in ("en", "zh-hans"))
    assert "The primary is killed" in english
    assert "强制终止主库" in chinese
    assert "The primary is killed" not in chinese.partition("<script")[0]
    assert "zones &lt;a&gt; &amp; b" in english
    (picture,) = re.findall(r"<svg.*?</svg>", english, re.S)
    assert picture.count("<rect") == 3  # the paper, and a bar for each drill
    assert "21.5" in picture


@pytest.mark.parametrize(("language", "word"), [("en", "Report on drills"), ("zh-hans", "演练")])
def test_the_pdf_has_the_report_in_its_language(language: str, word: str, tmp_path: Path) -> None:
    file = tmp_path / "drills.pdf"
    file.write_bytes(document.as_pdf(made(), language))
    assert file.read_bytes().startswith(b"%PDF-")
    title = re.search(rb"/Title \((.*?)\)\s*/", file.read_bytes(), re.S)
    assert title
    if language == "en":
        assert title[1] == word.encode()
    else:
        assert b"STSong-Light" in file.read_bytes()


def checked() -> CheckOutcome:
    return CHECKS["drills"].run(None)


def test_without_a_drill_the_check_has_nothing_to_look_at() -> None:
    assert checked() == CheckOutcome("", {"drills": 0})
    assert CHECKS["drills"].over == "drills"


def test_a_good_report_is_evidence_and_on_record() -> None:
    evidence.record(made(), by="command:drill")
    outcome = checked()
    assert outcome.problem == ""
    assert outcome.figures["answered"] == 500
    assert outcome.figures["rto_max_s"] == 21.5
    event = Event.objects.get(action=Action.DRILL_REPORT)
    assert event.success
    assert event.detail["lost"] == 0
    assert len(event.detail["sha256"]) == 64


def test_a_lost_answer_is_a_problem_of_the_compliance_page() -> None:
    lost = Consistency(acknowledged=250, lost=["a"])
    evidence.record(made(result(consistency=lost)), by="command:drill")
    assert checked().problem == "lost"
    assert not Event.objects.get(action=Action.DRILL_REPORT).success


def test_a_drill_that_did_not_go_as_expected_is_a_problem() -> None:
    evidence.record(made(result(problems=["no answers within 120 s"])), by="command:drill")
    outcome = checked()
    assert outcome.problem == "failed"
    assert outcome.figures["found"] == ["The primary is killed"]


def test_a_chain_that_is_not_exact_is_a_problem() -> None:
    broken = result()
    broken.books["audit"] = ["seal 7: it has been changed"]
    evidence.record(made(broken), by="command:drill")
    outcome = checked()
    assert outcome.problem == "failed"
    assert outcome.figures["found"] == ["The primary is killed"]


def test_a_report_of_91_days_ago_is_old() -> None:
    old = made()
    old["body"]["made_at"] = (timezone.now() - timedelta(days=91)).isoformat()
    evidence.record(old, by="command:drill")
    assert checked().problem == "old"


def test_tenants_see_the_figures_and_not_the_report(acme: Any) -> None:
    failed = result(problems=["two primaries: a1, b1", "ssh drill@a1 reboot: exit code 1"])
    evidence.record(made(failed), by="command:drill")
    runs.run_general_if_old()
    run = CheckRun.objects.get(name="drills")
    assert run.general
    assert "report" not in run.figures
    assert "a1" not in json.dumps(run.figures)


def test_of_two_who_drill_one_is_refused() -> None:
    with lock.drilling("alice@a1"), pytest.raises(lock.Taken, match="alice@a1 drills since"):
        lock.drilling("bob@a2").__enter__()
    with lock.drilling("bob@a2"):
        pass
    assert not CheckRun.objects.filter(name="drills.lock").exists()


def test_a_drill_that_was_killed_does_not_bar_others_for_ever() -> None:
    with lock.drilling("alice@a1"):
        CheckRun.objects.update(at=timezone.now() - timedelta(hours=4))
        with lock.drilling("bob@a2"):
            pass


def test_the_pdf_can_be_read(tmp_path: Path) -> None:
    """Where poppler is: every drill's line is in it."""
    file = tmp_path / "drills.pdf"
    file.write_bytes(document.as_pdf(made(), "en"))
    try:
        ended = subprocess.run(["pdftotext", "-layout", file, "-"], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("needs pdftotext (Debian: poppler-utils)")
    assert "The primary is killed" in ended.stdout
    assert "21.5 s" in ended.stdout


def test_operators_get_the_files_from_the_checks_page(operator: Any, sign_in: Any) -> None:
    client, page = sign_in(operator), "/console/compliance/checks/drills/"
    assert "form=pdf" not in client.get(page).content.decode()
    assert client.get("/console/compliance/drills/").status_code == 404
    evidence.record(made(), by="command:drill")
    assert "form=pdf" in client.get(page).content.decode()
    types = {"html": "text/html", "json": "application/json", "pdf": "application/pdf"}
    for form, kind in types.items():
        answer = client.get(f"/console/compliance/drills/?form={form}")
        assert (answer.status_code, answer["Content-Type"].partition(";")[0]) == (200, kind)
    assert client.get("/console/compliance/drills/?form=exe").status_code == 404


def test_nobody_else_gets_the_report(carol: Any, sign_in: Any) -> None:
    evidence.record(made(), by="command:drill")
    assert sign_in(carol).get("/console/compliance/drills/").status_code == 403
