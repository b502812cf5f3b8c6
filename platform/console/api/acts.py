"""Acts of the management API: methods of a resource that the URLs name."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeVar

from django_filters import Filter, FilterSet
from rest_framework.serializers import Field

from console.api.strict_input import Shape
from tenants.operator_scopes import OperatorScope
from tenants.roles import Permission

Method = Callable[..., Any]
M = TypeVar("M", bound=Method)
MARK = "described"  # an attribute of the methods that are acts


class Who(Enum):
    """Needs that are no permission in a tenant."""

    ANYBODY = auto()  # signed in, or with a key
    OPERATOR = auto()


Need = Permission | Who


@dataclass(frozen=True, slots=True)
class Act:
    """Decorates the method of an act. Requests and the OpenAPI schema read it."""

    need: Need
    scopes: tuple[OperatorScope, ...] = ()  # of an operator's key; without any it is for people
    takes: type[Shape] | None = None  # its body
    gives: type[Shape] | None = None  # its answer, if that is not the shape of the resource
    asks: type[FilterSet] | None = None  # its query parameters
    creates: bool = False  # it answers 201, as every act that is called `create`
    files: tuple[str, ...] = ()  # media types, if it answers with a file

    def __call__(self, method: M) -> M:
        setattr(method, MARK, self)
        return method

    def described(self, text: str, method: M) -> M:
        method.__doc__ = text
        return self(method)


def filters(**named: Filter) -> type[FilterSet]:
    """Returns the query parameters of an act."""
    return type("Filters", (FilterSet,), named)


def shape_of(name: str, /, **fields: Field[Any, Any, Any, Any]) -> type[Shape]:
    """Returns a shape of few fields. The schema calls it by the name."""
    return type(name, (Shape,), fields)


def listing(
    need: Need, text: str, *scopes: OperatorScope, asks: type[FilterSet] | None = None
) -> Method:
    """Returns an act that answers a page of the rows. `text` is its description."""
    act = Act(need, scopes, asks=asks)
    return act.described(text, lambda view, request, **path: view.respond_page(view.rows()))


def showing(need: Need, text: str, *scopes: OperatorScope) -> Method:
    """Returns an act that answers the row of the path."""
    act = Act(need, scopes)
    return act.described(text, lambda view, request, **path: view.respond(view.row()))


def calling(
    verb: str, need: Need, text: str, *scopes: OperatorScope, takes: type[Shape] | None = None
) -> Method:
    """Returns an act that calls the method `verb` of the row, with the fields of the body."""

    def method(view: Any, request: Any, **path: Any) -> Any:
        if takes is None:
            return view.call(verb)
        view.row()  # one that is not there is a 404, whatever the body says
        return view.call(verb, **view.body())

    return Act(need, scopes, takes=takes).described(text, method)
