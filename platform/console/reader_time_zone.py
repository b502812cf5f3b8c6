"""Pages show times in the reader's time zone, which theme.js leaves in a cookie."""

from collections.abc import Callable
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone

from tenants.models.tenant import time_zones

COOKIE = "forebay_time_zone"
GetResponse = Callable[[HttpRequest], HttpResponseBase]


def reader_time_zone(get_response: GetResponse) -> GetResponse:
    """Middleware for pages. The times of the management API are always in UTC."""

    def in_time_zone(request: HttpRequest) -> HttpResponseBase:
        name = request.COOKIES.get(COOKIE, "")
        if name not in time_zones() or request.path.startswith("/api/"):
            return get_response(request)
        with timezone.override(ZoneInfo(name)):
            return get_response(request)

    return in_time_zone
