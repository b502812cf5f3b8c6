"""Origins whose pages have a widget: they may read the answers of these endpoints, and no others.

An API key is refused there all the same, unless its tenant's own list has the origin
(inference/api/http/cors.py).
"""

from inference.api.http import cors
from inference.api.http.cors import KnownOrigins
from inference.api.http.request import Request
from inference.models import WidgetKey
from tenants.scope import system_scope


async def greet(request: Request) -> None:
    await cors.greet(request)
    if request.origin and not request.origin_is_known and request.origin in await _of_widgets.now():
        cors.admit(request)


def _widgets_origins() -> frozenset[str]:
    with system_scope():
        lists = WidgetKey.objects.live().values_list("origins", flat=True)
        return frozenset(origin for origins in lists for origin in origins)


_of_widgets = KnownOrigins(_widgets_origins)
