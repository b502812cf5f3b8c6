"""The report of an evaluation as a file: JSON, or one HTML page that needs nothing else."""

import orjson
from django.template.loader import render_to_string

from console.evaluations.report_lines import ReportPage
from inference.models import Evaluation

FORMATS = {"json": "application/json", "html": "text/html"}


def file_name(evaluation: Evaluation, form: str) -> str:
    return f"evaluation-{evaluation.task_set_name}-{str(evaluation.pk)[:8]}.{form}"


def as_file(evaluation: Evaluation, form: str) -> bytes:
    if form == "json":
        return orjson.dumps(evaluation.report, option=orjson.OPT_INDENT_2)
    page = ReportPage.of(evaluation)
    return render_to_string("console/evaluations/report_file.html", {"page": page}).encode()
