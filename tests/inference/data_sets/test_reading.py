"""Texts of a version are read with a reason, and on record."""

import orjson
import pytest
from django.core.exceptions import ValidationError

from audit.actions import Action
from audit.models import Event
from inference.data_sets import reading
from inference.models import DataSet
from tenants.models import Member
from tests.inference.data_sets.conftest import BY, chat, jsonl, uploaded

pytestmark = pytest.mark.django_db(transaction=True)


def test_samples_are_few_and_the_same_each_time(manual: DataSet) -> None:
    rows = [chat(f"question {number}" + "x" * 9_000) for number in range(300)]
    version = uploaded(manual, jsonl(rows))
    samples = reading.samples(version, by=BY, reason="a look")
    assert len(samples) == reading.SAMPLES
    assert samples == reading.samples(version, by=BY, reason="a look")
    assert {(len(one.text), one.is_whole) for one in samples} == {(reading.LONGEST_SAMPLE, False)}
    assert Event.objects.filter(action=Action.DATA_SET_READ, detail__reason="a look").count() == 2


def test_the_whole_has_each_row_with_its_person(manual: DataSet, bob: Member) -> None:
    rows = [chat("his", person=str(bob.subject_id)), chat("nobody's")]
    lines = reading.whole(uploaded(manual, jsonl(rows)), by=BY, reason="an export")
    assert [orjson.loads(line) for line in lines] == rows
    assert Event.objects.get(action=Action.DATA_SET_READ).detail["rows"] == "all"


def test_without_a_reason_nothing_is_read(manual: DataSet) -> None:
    version = uploaded(manual, jsonl([chat("x")]))
    for read in (reading.samples, reading.whole):
        with pytest.raises(ValidationError):
            read(version, by=BY, reason=" ")
