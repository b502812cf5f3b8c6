"""The filter `options`: an object to the words `--option NAME=VALUE` of `forebay engines`."""

import json
from collections.abc import Callable, Mapping
from typing import Any

DOCUMENTATION = """
name: options
short_description: Options of an engine, for a command line
version_added: "0.2.0"
description:
  - Returns two words for each option, --option and NAME=VALUE, with the value in JSON.
options:
  _input:
    description: Options as in FOREBAY_ENGINES.
    type: dict
    required: true
"""
EXAMPLES = """
- ansible.builtin.debug:
    msg: "{{ {'context_length': 65536} | forebay.platform.options }}"
"""
RETURN = """
_value:
  description: The words.
  type: list
  elements: str
"""


def options(values: Mapping[str, Any]) -> list[str]:
    pairs = (f"{name}={json.dumps(values[name], sort_keys=True)}" for name in sorted(values))
    return [word for pair in pairs for word in ("--option", pair)]


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"options": options}
