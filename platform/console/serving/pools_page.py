"""The page of all pools and engines, with the forms for new ones."""

from django.http import HttpResponse
from django.shortcuts import render

from console.authorization import ConsoleRequest
from console.serving.forms import NewEngineForm, NewPoolForm
from console.serving.pool_lines import pool_lines


def page(
    request: ConsoleRequest,
    *,
    new_pool: NewPoolForm | None = None,
    new_engine: NewEngineForm | None = None,
) -> HttpResponse:
    """Render the page, with an invalid form if there is one."""
    context = {
        "lines": pool_lines(),
        "new_pool": new_pool or NewPoolForm(),
        "new_engine": new_engine or NewEngineForm(),
    }
    return render(request, "console/serving/pools.html", context)
