"""An evaluation with a report, as a driver writes it, without an engine."""

from typing import Any
from uuid import uuid4

from inference.evaluation import report
from inference.evaluation.content import Content, Item, Kind
from inference.evaluation.results import ChoiceResult, SideResults
from inference.models import Evaluation, TaskSet
from tenants.models import Tenant

SKY = Content(
    Kind.CHOICES,
    [Item(prompt=f"The sky of day {n} is", choices=["blue", "red"], right=0) for n in range(20)],
)


def task_set(tenant: Tenant, name: str = "capitals", content: Content = SKY) -> TaskSet:
    return TaskSet.publish(tenant, name, content, by="test")


def reported(tenant: Tenant, right: int = 18, **fields: Any) -> Evaluation:
    """With `right` of 20 choices. `fields`: of the evaluation."""
    tasks = fields.pop("task_set", None) or task_set(tenant)
    names = {"model": "support", "version": "q8", "against": "support-f16", **fields}
    evaluation = Evaluation.objects.create(
        tenant=tenant,
        task_set=tasks,
        task_set_name=tasks.name,
        task_set_number=tasks.number,
        sha256=tasks.sha256,
        kind=tasks.kind,
        subject_id=uuid4(),
        created_by="test",
        total=tasks.test_items,
        completion_id=uuid4(),
        **names,
    )
    about = {"task_set": {"name": tasks.name, "version": tasks.number, "sha256": tasks.sha256}}
    theirs = _side(19, "f16") if names["against"] else None
    evaluation.succeed(report.build(about, tasks.content, _side(right, names["version"]), theirs))
    return evaluation


def _side(right: int, version: str) -> SideResults:
    choices = [ChoiceResult([-1.0, -2.0] if n < right else [-2.0, -1.0], [4, 3]) for n in range(20)]
    engines = [f"llama_cpp@{version}/gpu-1"]
    return SideResults("support", "choices", [version], engines, choices=choices)
