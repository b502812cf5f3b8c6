"""The page of what waits for the person who is signed in."""

from django.http import HttpResponse
from django.shortcuts import redirect, render

from console.authorization import ConsoleRequest, signed_in
from console.waiting.counts import waiting_for


@signed_in
def waiting(request: ConsoleRequest) -> HttpResponse:
    """List what waits; the bell leads straight to the only place where something does."""
    rows = waiting_for(request.user)
    if "straight" in request.GET and len(rows) == 1:
        return redirect(rows[0].url)
    return render(request, "account/waiting.html", {"rows": rows})
