"""`forebay demo fraud`, with an engine that answers in the tests' own process."""

import random
from typing import Any

import pytest
from django.db import ProgrammingError
from sklearn.metrics import roc_auc_score

from config.command.demo import demo
from config.demo.fraud import FRAUDS, ROWS, FraudDemo, as_csv, labelled_rows, policy_spec
from config.demo.payment_inputs import NUMBERS, inputs_of
from config.demo.payments import Fraud, World, make_payments
from inference.decisions import checks, evaluating
from inference.decisions.evaluating import File
from inference.decisions.tree import check, probability

pytestmark = pytest.mark.unit


def test_the_tree_that_is_shipped_knows_frauds_of_another_seed() -> None:
    tree = policy_spec("small").tree
    assert tree
    check(tree)
    payments = make_payments(World(seed=5, days=60))
    rows: list[Any] = list(zip(inputs_of(payments), payments, strict=True))
    late = [row for row in rows if row[1].day >= 40]
    chosen = random.Random(1).sample(late, 4000)
    labels = [payment.fraud is not Fraud.NONE for _values, payment in chosen]
    assert roc_auc_score(labels, [probability(tree, values) for values, _ in chosen]) > 0.8


def test_the_policy_passes_the_checks_of_policies() -> None:
    checks.check(policy_spec("small"))


def test_the_rows_are_valid_inputs_and_always_the_same() -> None:
    rows = labelled_rows()
    assert (len(rows.labels), sum(rows.labels)) == (ROWS, FRAUDS)
    assert rows == labelled_rows()
    read = evaluating.rows_of(policy_spec("small"), File(as_csv(rows), "fraud"))
    assert [row.label for row in read] == rows.labels
    assert read[0].input == {name: rows.inputs[0][name] for name in NUMBERS}


def test_a_platform_whose_tables_are_not_ready_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def of(*_: Any) -> None:
        raise ProgrammingError('relation "tenants_tenant" does not exist')

    monkeypatch.setattr(FraudDemo, "of", of)
    assert demo(["fraud"]) == 1
    assert "Wait until the platform says that it is" in capsys.readouterr().err
