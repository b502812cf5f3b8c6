"""The parts of a run that have servers of their own, in the order in which they run."""

from typing import Any

from bench.parts import (
    audit_search,
    audit_verify,
    big_bodies,
    cache_trace,
    dispatch,
    fairness,
    grpc_unary,
    memory,
    preemption,
    usage,
)
from bench.parts.part import Part
from bench.parts.record import admission, audit

PARTS: dict[str, Part[Any]] = {
    "memory": memory.PART,
    "bodies": big_bodies.PART,
    "admission": admission.PART,
    "grpc": grpc_unary.PART,
    "cache": cache_trace.PART,
    "usage": usage.PART,
    "audit": audit.PART,
    "audit-verify": audit_verify.PART,
    "audit-search": audit_search.PART,
    "fairness": fairness.PART,
    "dispatch": dispatch.PART,
    "preemption": preemption.PART,
}
