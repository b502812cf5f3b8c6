"""Celery's entries. A message carries no request: it only says that there is work."""

from collections.abc import Iterable
from typing import Any

from celery import shared_task
from celery.signals import worker_ready, worker_shutting_down
from django.dispatch import receiver

from inference.adapters.loading import load_all
from inference.api.assistants.driver import build_due
from inference.api.batch.driver import driver
from inference.api.evaluations import policies as policy_evaluations
from inference.api.evaluations.driver import drive_all as drive_evaluations
from inference.api.explanations import driving as explaining
from inference.api.knowledge.driver import drive as drive_knowledge
from inference.api.policy_trials.driver import drive_all as drive_trials
from inference.batch.file_store import forget_abandoned, forget_expired
from inference.batch.windows import wake_resting_soon
from inference.chat.attachments.uploading import delete_abandoned
from inference.chat.collection import sharing, temporary
from inference.data_sets import importing
from inference.decisions import drifting
from inference.decisions.reviews import contest_clock, review_notices
from inference.dialogues.handing_over import return_abandoned
from inference.dialogues.overdue_calls import end_overdue
from inference.dialogues.resuming import resume_due
from inference.energy.resting import balance
from inference.jobs import background_validation, job_checkpoint_files
from inference.jobs.driving import drive_due
from inference.jobs.on_host.work_folder import remove_left_behind
from inference.lending.sleep_mode import move_sleepers
from inference.model_registry.importing import import_all
from inference.model_registry.opening import remove_stale
from inference.model_registry.tidying import tidy
from inference.models import IdempotencyKey
from inference.record.reconciliation import reconcile_due
from inference.registry.elastic import attend_soon, leave_soon, stay_soon
from inference.registry.following import changed
from inference.replacing.driving import drive_all
from inference.usage import rollup
from inference.worker import assigned_queues
from inference.worker.draining import Draining
from inference.worker.recovery.sweeper import sweep_all
from infrastructure.background import Background

_adapters = Background("adapters", load_all)
_assistants = Background("assistants", build_due)
_dialogues = Background("dialogues", resume_due)
_explanations = Background("explanations", explaining.make_all)
_data_sets = Background("data-sets", importing.import_due, importing.AT_ONCE)
_sleepers = Background("sleepers", move_sleepers)
_knowledge = Background("knowledge", drive_knowledge)
_policy_evaluations = Background("policy-evaluations", policy_evaluations.drive_due)
_drift = Background("drift", drifting.measure_all)
draining = Draining()
_attended: set[str] = set()  # Celery queues of the engines that this worker serves


@shared_task(name="inference.drain", ignore_result=True)
def drain(pool: str, engine: str, worker: int = 1) -> None:
    draining.drain(pool, engine, worker)


@shared_task(name="inference.sweep", ignore_result=True)
def sweep() -> None:
    sweep_all()


@shared_task(name="inference.roll_up", ignore_result=True)
def roll_up() -> None:
    rollup.roll_up()


@shared_task(name="inference.forget_keys", ignore_result=True)
def forget_keys() -> None:
    IdempotencyKey.objects.over().delete()


@shared_task(name="inference.tidy_chats", ignore_result=True)
def tidy_chats() -> None:
    temporary.delete_left_behind()
    sharing.delete_expired()


@shared_task(name="inference.delete_attachments", ignore_result=True)
def delete_attachments() -> None:
    delete_abandoned()


@shared_task(name="inference.return_dialogues", ignore_result=True)
def return_dialogues() -> None:
    return_abandoned()


@shared_task(name="inference.end_calls", ignore_result=True)
def end_calls() -> None:
    end_overdue()


@shared_task(name="inference.replace", ignore_result=True)
def replace() -> None:
    drive_all()


@shared_task(name="inference.import_models", ignore_result=True)
def import_models() -> None:
    import_all()


@shared_task(name="inference.tidy_models", ignore_result=True)
def tidy_models() -> None:
    tidy()
    job_checkpoint_files.delete_drafts()


@shared_task(name="inference.load_adapters", ignore_result=True)
def load_adapters() -> None:
    _adapters.wake()


@shared_task(name="inference.rest_engines", ignore_result=True)
def rest_engines() -> None:
    balance()


@shared_task(name="inference.move_sleepers", ignore_result=True)
def move_lent_sleepers() -> None:
    _sleepers.wake()


@shared_task(name="inference.drive_batches", ignore_result=True)
def drive_batches() -> None:
    driver.wake()


@shared_task(name="inference.drive_jobs", ignore_result=True)
def drive_jobs() -> None:
    drive_due(background_validation.begin)


@shared_task(name="inference.evaluate", ignore_result=True)
def evaluate() -> None:
    drive_evaluations()


@shared_task(name="inference.build_assistants", ignore_result=True)
def build_assistants() -> None:
    _assistants.wake()


@shared_task(name="inference.resume_dialogues", ignore_result=True)
def resume_dialogues() -> None:
    _dialogues.wake()


@shared_task(name="inference.try_policies", ignore_result=True)
def try_policies() -> None:
    drive_trials()


@shared_task(name="inference.evaluate_policies", ignore_result=True)
def evaluate_policies() -> None:
    _policy_evaluations.wake()


@shared_task(name="inference.explain_decisions", ignore_result=True)
def explain_decisions() -> None:
    _explanations.wake()


@shared_task(name="inference.run_contest_clock", ignore_result=True)
def run_contest_clock() -> None:
    contest_clock.run()
    review_notices.run()


@shared_task(name="inference.measure_drift", ignore_result=True)
def measure_drift() -> None:
    _drift.wake()


@shared_task(name="inference.forget_files", ignore_result=True)
def forget_files() -> None:
    forget_abandoned()
    forget_expired()


@shared_task(name="inference.import_data_sets", ignore_result=True)
def import_data_sets() -> None:
    _data_sets.wake()


@shared_task(name="inference.read_documents", ignore_result=True)
def read_documents() -> None:
    _knowledge.wake()


@shared_task(name="inference.reconcile", ignore_result=True)
def reconcile() -> None:
    reconcile_due()


@receiver(changed)
def _look(**_signal: object) -> None:
    draining.look()
    if _attended:
        stay_soon(frozenset(_attended))


def _tidy_host() -> None:
    """Remove what killed workers, and versions that were deleted elsewhere, have left here."""
    remove_left_behind()
    remove_stale()


_host = Background("host", _tidy_host)


@worker_ready.connect
def _is_there(sender: Any, **_: object) -> None:
    queues = sender.app.amqp.queues.consume_from
    if "jobs" in queues:  # windows may have changed, now and with each change of engines
        changed.connect(wake_resting_soon)
        wake_resting_soon()
    _host.wake()
    attend(q for q in queues if q.startswith("engine."))
    assigned_queues.follow(sender, attend, no_longer_attend)


def attend(queues: Iterable[str]) -> None:
    """Note that this process serves these queues: `elastic` engines take requests with it."""
    if new := frozenset(queues) - _attended:
        _attended.update(new)
        attend_soon(new)


def no_longer_attend(queues: Iterable[str]) -> None:
    """Note that it serves them no more, since their engines were removed."""
    _attended.difference_update(queues)


@worker_shutting_down.connect
def _stop_taking_work(**_: object) -> None:
    if _attended:
        leave_soon(frozenset(_attended))
        _attended.clear()
    draining.stop()
    driver.stop()
    explaining.stop()
