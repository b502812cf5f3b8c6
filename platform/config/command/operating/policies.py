"""`forebay policies`: decision policies of a tenant of a running platform."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from config.command.operating.api_client import KEY, OF_TENANT, ApiClient
from config.command.operating.collection import Collection
from config.command.operating.program import (
    Program,
    Result,
    fields,
    json_object,
    outcome,
    table,
)

_COLUMNS = {
    "POLICY": "name",
    "DECIDES": "champion",
    "CHALLENGER": "challenger",
    "SHARE": "challenger_share",
    "SHADOW": "shadow",
    "VERSIONS": "latest",
    "CHANGED": "changed_at",
}
_VERSIONS = {
    "VERSION": "number",
    "STATE": "state",
    "MODEL": "model",
    "MODEL VERSION": "model_version",
    "CREATED": "created_at",
    "REVIEWED": "reviewed_at",
}


def policies(arguments: Sequence[str]) -> int:
    text = "The decision policies of a tenant, with a key of the tenant. People approve versions."
    program = Program("policies", text, OF_TENANT, KEY)
    program.shows("list", _list, "a tenant's policies").add_argument("tenant")
    _add_subject(program.shows("show", _show, "a policy"))
    _add_subject(program.shows("versions", _versions, "its versions, the latest first"))
    _add_version(program.shows("version", _version, "what a version says, and its trial"))
    writing = program.acts("write", _write, "a version, a draft; the first makes the policy")
    _add_subject(writing)
    writing.add_argument("spec", type=json_object, help="JSON, or @FILE with it")
    _add_version(program.acts("submit", _submit, "a draft to review: its model is asked once"))
    _add_version(program.acts("promote", _promote, "an approved version: it decides"))
    challenging = program.acts("challenge", _challenge, "a version decides a share")
    _add_version(challenging)
    challenging.add_argument("--share", type=float, default=0.1, help="0.1: a tenth")
    _add_version(program.acts("shadow", _shadow, "a version is asked beside the champion"))
    _add_subject(program.acts("roll-back", _roll_back, "let the version before decide again"))
    _add_subject(program.acts("stop", _stop, "let no version decide"))
    return program.main(arguments)


def _add_subject(parser: ArgumentParser) -> None:
    parser.add_argument("tenant")
    parser.add_argument("policy")


def _add_version(parser: ArgumentParser) -> None:
    _add_subject(parser)
    parser.add_argument("number", type=int)


def _policies(link: ApiClient, typed: Namespace) -> Collection:
    return Collection.of_tenant(link, typed.tenant, "decision-policies", "decision policy")


def _list(link: ApiClient, typed: Namespace) -> Result:
    return table(link.rows(_policies(link, typed).path, ordering="name"), _COLUMNS)


def _show(link: ApiClient, typed: Namespace) -> Result:
    return fields(_policies(link, typed).row(typed.policy))


def _versions(link: ApiClient, typed: Namespace) -> Result:
    return table(link.rows(f"{_path(link, typed)}versions/"), _VERSIONS)


def _version(link: ApiClient, typed: Namespace) -> Result:
    return fields(link.get(f"{_path(link, typed)}versions/{typed.number}/").body)


def _write(link: ApiClient, typed: Namespace) -> Result:
    policies = _policies(link, typed)
    row = policies.find(typed.policy)
    if typed.dry_run:
        return outcome("policy", typed.policy, "would get a version", row)
    if row is None:
        made = policies.add(name=typed.policy, spec=typed.spec)
        return outcome("policy", typed.policy, "created", made)
    path = f"{policies.path_of(row)}versions/"
    version = link.send("POST", path, {"spec": typed.spec}).body
    return outcome("version", f"{typed.policy}@{version['number']}", "written", version)


def _submit(link: ApiClient, typed: Namespace) -> Result:
    return _act(link, typed, f"versions/{typed.number}/submit", "sent to review")


def _promote(link: ApiClient, typed: Namespace) -> Result:
    if (row := _policies(link, typed).row(typed.policy))["champion"] == typed.number:
        return outcome("policy", typed.policy, "unchanged", row)
    return _act(link, typed, "promote", "promoted", version=typed.number)


def _challenge(link: ApiClient, typed: Namespace) -> Result:
    body = {"version": typed.number, "share": typed.share}
    return _act(link, typed, "challenge", "challenged", **body)


def _shadow(link: ApiClient, typed: Namespace) -> Result:
    return _act(link, typed, "shadow", "shadowed", version=typed.number)


def _roll_back(link: ApiClient, typed: Namespace) -> Result:
    return _act(link, typed, "rollback", "rolled back")


def _stop(link: ApiClient, typed: Namespace) -> Result:
    return _act(link, typed, "stop", "stopped")


def _act(link: ApiClient, typed: Namespace, verb: str, did: str, **body: float) -> Result:
    path = f"{_path(link, typed)}{verb}/"
    if typed.dry_run:
        return outcome("policy", typed.policy, f"would be {did}", None)
    return outcome("policy", typed.policy, did, link.send("POST", path, body).body)


def _path(link: ApiClient, typed: Namespace) -> str:
    return _policies(link, typed).row_path(typed.policy)
