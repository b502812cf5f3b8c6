"""The demo of decisions: a policy about payments, fitted on made-up rows, that decides some."""

import csv
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import msgspec

from config.demo.http_api import Unready
from config.demo.payment_inputs import NUMBERS, TEMPLATE, Input, inputs_of
from config.demo.payments import Fraud, World, make_payments
from inference.decisions import evaluating, policies
from inference.decisions.evaluating import File
from inference.decisions.spec import PolicySpec, of_json
from inference.decisions.tree import Tree
from inference.engines import engines
from inference.intake.access.allowed import is_served
from inference.models import (
    DecisionPolicy,
    DecisionPolicyVersion,
    PolicyEvaluation,
    PolicyVersionState,
)
from tenants.models import ApiKey, Tenant

AUTHOR, REVIEWER = "command:demo", "command:demo-review"
NAME = "demo-payments"
ROWS, FRAUDS = 60, 12  # that the weights are fitted on: a model on a CPU reads them in seconds
PATIENCE_S, LOOK_EVERY_S = 180.0, 0.5
SMALL = World(seed=11, cards=120, terminals=400, days=60)
TREE = Path(__file__).with_name("fraud_tree.json")


class Decisions(Protocol):
    def decide(self, key: str, policy: str, person: str, values: Input) -> dict[str, Any]:
        """Returns the decision. Raises Unready."""

    def feed_back(self, key: str, decision: str, feedback: str) -> None:
        """Tells what really happened. Raises Unready."""


@dataclass(frozen=True, slots=True)
class Labelled:
    inputs: list[Input]
    labels: list[int]


@dataclass(slots=True)
class FraudDemo:
    """Makes the policy with a key of its own, which is revoked at the end."""

    tenant: Tenant
    model: str
    key: ApiKey
    key_text: str
    decisions: Decisions
    tell: Callable[[str], None] = print

    @classmethod
    def of(cls, tenant: str, model: str | None, decisions: Decisions) -> "FraudDemo":
        """Raises Unready, ValidationError."""
        row = Tenant.objects.filter(name=tenant).first()
        if row is None:
            raise Unready(f"there is no tenant {tenant}: name one with --tenant")
        chosen = model or model_of(row)
        key, text = ApiKey.issue(row, NAME, by=AUTHOR)
        return cls(row, chosen, key, text, decisions)

    def run(self, count: int) -> None:
        """Raises Unready, ValidationError."""
        rows = labelled_rows()
        try:
            version = self._fitted(rows)
            self._promote(version)
            self._decide(version.policy, rows, count)
        finally:
            self.key.revoke(by=AUTHOR)
        self.tell(f"See /console/t/{self.tenant.name}/policy-evaluations/ in the console.")

    def _fitted(self, rows: Labelled) -> DecisionPolicyVersion:
        """Returns a version whose weights and calibration the rows have taught."""
        spec = policy_spec(self.model)
        first = self._written(spec)
        self.tell(f"The policy {NAME} asks {self.model} about {ROWS} payments, for the weights.")
        file = File(as_csv(rows), "fraud", "")
        begin = partial(evaluating.begin, by=AUTHOR, caller=self.key)
        number = self._ended(begin(first, file, "stack")).written
        assert number is not None  # it has succeeded
        version = first.policy.versions.get(number=number)
        self._ended(begin(version, file, "report"))
        self.tell("Its report is there; its rows are those of the fit: take others for yours.")
        return version

    def _written(self, spec: PolicySpec) -> DecisionPolicyVersion:
        policy = DecisionPolicy.objects.filter(tenant=self.tenant, name=NAME).first()
        if policy:
            return policies.write(policy, spec, by=AUTHOR)
        return policies.create(self.tenant, NAME, spec, by=AUTHOR).versions.get()

    def _ended(self, evaluation: PolicyEvaluation) -> PolicyEvaluation:
        def over() -> bool:
            evaluation.refresh_from_db()
            return evaluation.is_over

        self._wait(over, "the evaluation of the policy")
        if evaluation.error_code:
            raise Unready(f"the evaluation of the policy failed: {evaluation.error_code}")
        return evaluation

    def _promote(self, version: DecisionPolicyVersion) -> None:
        """Has it reviewed by a second author of the demo; your own policies take two people."""
        version.submit(by=AUTHOR, caller=self.key)

        def tried() -> bool:
            version.refresh_from_db()
            return version.state != PolicyVersionState.TRIAL

        self._wait(tried, "the trial of the policy")
        if version.state != PolicyVersionState.IN_REVIEW:
            raise Unready(f"the model failed the policy's trial: {version.trial}")
        version.approve(by=REVIEWER)
        policies.promote(version, by=AUTHOR)

    def _decide(self, policy: DecisionPolicy, rows: Labelled, count: int) -> None:
        chosen = list(zip(rows.inputs, rows.labels, strict=True))[:count]
        for values, label in chosen:
            person = str(values["card"])
            sent = {name: values[name] for name in NUMBERS}
            decision = self.decisions.decide(self.key_text, policy.name, person, sent)
            feedback = "positive" if label else "negative"
            self.decisions.feed_back(self.key_text, decision["id"], feedback)
            amount, outcome = values["amount"], decision["outcome"]
            happened = "fraud" if label else "honest"
            score = "-" if decision["score"] is None else f"{decision['score']:.3f}"
            self.tell(f"{person:>9} {amount:>5} dollars  {score}  {outcome:<8} ({happened})")

    def _wait(self, done: Callable[[], bool], what: str) -> None:
        ends = time.monotonic() + PATIENCE_S
        while not done():
            if time.monotonic() > ends:
                raise Unready(f"{what} takes too long: does the jobs process run?")
            time.sleep(LOOK_EVERY_S)


def model_of(tenant: Tenant) -> str:
    """Returns the first model that can score for the tenant. Raises Unready."""
    for engine in engines():
        can, name = engine.capabilities, engine.config.name
        if can.text and can.logprobs and is_served(tenant.pk, name):
            return name
    raise Unready("no model that gives log-probabilities serves this tenant: name one by --model")


def policy_spec(model: str) -> PolicySpec:
    """Returns the policy: the tree decides where the model is late."""
    tree = msgspec.json.decode(TREE.read_bytes(), type=Tree)
    whole = ("hour", "weekend", "payments_today", "terminal_payments", "terminal_frauds")
    properties = {
        name: {"type": "integer" if name in whole else "number", "minimum": 0} for name in NUMBERS
    }
    return of_json(
        {
            "input_schema": {
                "type": "object", "properties": properties, "required": list(NUMBERS),
            },
            "template": f"{TEMPLATE} Answer yes or no.",
            "model": model,
            "thresholds": {
                "review": 0.2, "block": 0.6, "cost_false_alarm": 5, "cost_missed": 100,
                "cost_review": 2,
            },
            "fallback": {"kind": "tree"},
            "tree": msgspec.to_builtins(tree),
            "second_person": {"input": "amount", "sum": 500},
            "neutral": {
                "amount": 50, "times_usual": 1.0, "hour": 12, "weekend": 0, "payments_today": 1,
                "terminal_payments": 20, "terminal_frauds": 0,
            },
        }
    )  # fmt: skip


def labelled_rows() -> Labelled:
    """Returns the latest payments, with more frauds among them than there are."""
    payments = make_payments(SMALL)
    rows = list(zip(inputs_of(payments), payments, strict=True))[::-1]
    frauds = [row for row in rows if row[1].fraud is not Fraud.NONE][:FRAUDS]
    others = [row for row in rows if row[1].fraud is Fraud.NONE][: ROWS - FRAUDS]
    chosen = sorted([*frauds, *others], key=lambda row: row[1].at)
    return Labelled(
        [values for values, _payment in chosen],
        [int(payment.fraud is not Fraud.NONE) for _values, payment in chosen],
    )


def as_csv(rows: Labelled) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*NUMBERS, "fraud"])
    for values, label in zip(rows.inputs, rows.labels, strict=True):
        writer.writerow([*(values[name] for name in NUMBERS), label])
    return text.getvalue().encode()
