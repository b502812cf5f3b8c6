"""An object as YAML: for Kustomize as it is, for the chart with templates where it has words."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from deploy.kubernetes.words import Each, Joined, Node, Spread, Times, Value, When, Whole, Word

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
_STEP = "  "


def yaml(documents: Iterable[Node]) -> str:
    """Also of a chart: a document with an Each is a loop."""
    return "".join("\n".join(["---", *lines(each), ""]) for each in documents)


def lines(node: Node, indent: str = "") -> list[str]:
    if isinstance(node, Each):
        body = ["---", *lines(node.node, indent)]
        begin = f"{{{{- range $engine := $.Values.engines }}}}{{{{- if $engine.{node.kind} }}}}"
        return [begin, *body, "{{- end }}{{- end }}"]
    if isinstance(node, When):
        return _if(node.condition, lines(node.node, indent))
    if isinstance(node, Mapping):
        return [line for name, each in node.items() for line in _entry(name, each, indent)]
    if isinstance(node, list):
        return [line for each in node for line in _item(each, indent)]
    raise TypeError(f"no document: {node!r}")


def _entry(name: str | Spread, node: Node, indent: str) -> list[str]:
    if isinstance(node, When):
        return _if(node.condition, _entry(name, node.node, indent))
    if isinstance(node, Whole):
        above = [] if isinstance(name, Spread) else [f"{indent}{_text(str(name))}:"]
        deep = len(indent) if isinstance(name, Spread) else len(indent) + len(_STEP)
        return _with(node.value, [*above, f"{{{{- toYaml . | nindent {deep} }}}}"])
    if isinstance(node, Times):
        begin = f"{{{{- range $name := {node.names.template} }}}}"
        return [begin, *lines(node.node, indent), "{{- end }}"]
    key = f"{indent}{_scalar(name)}:"
    if isinstance(node, Mapping | list) and node:
        return [key, *lines(node, indent + _STEP)]
    return [f"{key} {_scalar(node)}"] if not _is_block(node) else _block(key, node, indent)


def _item(node: Node, indent: str) -> list[str]:
    if isinstance(node, When):
        return _if(node.condition, _item(node.node, indent))
    if isinstance(node, Whole):
        return _with(node.value, [f"{{{{- toYaml . | nindent {len(indent)} }}}}"])
    if isinstance(node, Times):
        begin = f"{{{{- range $name := {node.names.template} }}}}"
        return [begin, *_item(node.node, indent), "{{- end }}"]
    if isinstance(node, Mapping | list) and node:
        first, *rest = lines(node, indent + _STEP)
        if first.startswith("{{-"):
            raise ValueError(f"an item of a list begins with a condition: {node!r}")
        return [f"{indent}- {first.removeprefix(indent + _STEP)}", *rest]
    return [f"{indent}- {_scalar(node)}"]


def _if(condition: Word, inside: list[str]) -> list[str]:
    return [f"{{{{- if {condition.template} }}}}", *inside, "{{- end }}"]


def _with(value: Word, inside: list[str]) -> list[str]:
    return [f"{{{{- with {value.template} }}}}", *inside, "{{- end }}"]


def _scalar(node: Any) -> str:
    if isinstance(node, Joined):
        return f'"{node.template}"'
    if isinstance(node, Value):
        return f"{{{{ {node.template} | toJson }}}}"
    if isinstance(node, Word):
        return f"{{{{ {node.template} }}}}"
    return _text(node) if isinstance(node, str) else json.dumps(node)


def _text(text: str) -> str:
    safe = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if safe else json.dumps(text, ensure_ascii=False)


def _is_block(node: Any) -> bool:
    return isinstance(node, str) and "\n" in node


def _block(key: str, text: str, indent: str) -> list[str]:
    return [f"{key} |", *(f"{indent}{_STEP}{line}".rstrip() for line in text.splitlines())]
