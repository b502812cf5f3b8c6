"""Filters of the pages of jobs."""

from django import template

from console.jobs import reasons, words
from inference.jobs.planning.plans import TRAINING
from inference.models import Job, JobState

register = template.Library()


@register.filter
def job_colour(job: Job) -> str:
    return words.COLOURS.get(JobState(job.state), "blue")


@register.filter
def job_unit(job: Job) -> str:
    return str(words.UNITS.get(job.unit, job.unit))


@register.filter
def job_cause(job: Job) -> str:
    """Returns in a sentence why a job is paused or has failed; its code where none is known."""
    known = reasons.advice(job.reason)
    return str(known.cause) if known else job.reason


@register.filter
def job_gpu_ms(job: Job) -> int:
    """Returns its GPU time: what is billed, and while it is under way what it has used."""
    return job.gpu_ms if job.is_over else max(job.gpu_ms, job.active_ms)


@register.filter
def job_trains(job: Job) -> bool:
    """Returns whether its checkpoints have weights that can be registered."""
    return job.kind in TRAINING


@register.filter
def figure(number: float | None) -> str:
    """Formats 2.345 or 0.0004 with four digits, and a dash for a figure that is not known."""
    return "–" if number is None else f"{number:.4g}"
