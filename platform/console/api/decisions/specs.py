"""The JSON form of a version of a decision policy, in bodies."""

from typing import Any

import msgspec

from console.api.problem import bad_request
from inference.decisions.spec import PolicySpec, of_json


def spec_in(value: Any) -> PolicySpec:
    """Returns the spec of a body. Raises Problem, which names the field."""
    try:
        return of_json(value)
    except msgspec.ValidationError as problem:
        raise bad_request({"spec": [str(problem)]}) from None
