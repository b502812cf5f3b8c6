"""The filter `addresses`: host names to the addresses under which other hosts reach them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

DOCUMENTATION = """
name: addresses
short_description: Addresses of hosts
version_added: "0.2.0"
description:
  - Returns the address of each host, forebay_address, else ansible_host, else its name.
positional: hostvars
options:
  _input:
    description: Names of hosts, as in C(groups).
    type: list
    elements: str
    required: true
  hostvars:
    description: The variable of this name.
    type: dict
    required: true
"""
EXAMPLES = """
- ansible.builtin.debug:
    msg: "{{ groups['forebay_web'] | forebay.platform.addresses(hostvars) }}"
"""
RETURN = """
_value:
  description: An address for each name, in the same order.
  type: list
  elements: str
"""


def addresses(hosts: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [_address(host, hostvars[host]) for host in hosts]


def _address(host: str, variables: Mapping[str, Any]) -> str:
    return str(variables.get("forebay_address") or variables.get("ansible_host") or host)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"addresses": addresses}
