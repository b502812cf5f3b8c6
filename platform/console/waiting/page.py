"""The page of what waits for the person who is signed in."""

from django.http import HttpResponse
from django.shortcuts import render

from console.authorization import ConsoleRequest, signed_in
from console.waiting.counts import waiting_for


@signed_in
def waiting(request: ConsoleRequest) -> HttpResponse:
    return render(request, "account/waiting.html", {"rows": waiting_for(request.user)})
