"""The message to the person at the terminal once everything runs: URLs, a key, a first command."""

import json
import shlex

from config import environment
from config.supervisor.options import RunOptions
from config.supervisor.processes import FirstRun
from config.supervisor.terminal import say, seconds
from config.tls import configured_files


def welcome(options: RunOptions, first: FirstRun, model: str) -> None:
    say(f"\nForebay is ready ({seconds()})\n")
    if environment.log_format() == "json":  # no link and no key belongs into a log
        return say("`forebay manage first_run` gives the link for the first visit")
    if options.has("web"):
        _show_addresses(options, first, model)
    else:
        say(f"  Here      {', '.join(sorted(options.roles))}\n")
    say(f"Ctrl-C stops everything. Logs: {options.home / 'logs'}")
    return None


def _show_addresses(options: RunOptions, first: FirstRun, model: str) -> None:
    url = options.url
    say(f"  Console   {url}/console/")
    if first.operator_link:
        say(f"            first visit, sets the operator's password: {first.operator_link}")
    say(f"  Chat      {url}/chat/")
    if authority := _own_authority(url):
        say(f"            let your browser trust {authority}")
    if options.grpc_port:
        say(f"  gRPC      {options.near_host}:{options.grpc_port}")
    if first.demo_api_key:
        say(f"  API key   {first.demo_api_key}  (tenant {first.demo_tenant})")
    else:
        line = "forebay manage {}" if environment.INSTALLED else "make manage ARGS='{}'"
        say(f"  API key   make one: {line.format('create_api_key TENANT --name NAME')}")
    say(f"\nTry it:\n\n{_curl(url, first.demo_api_key or 'YOUR_API_KEY', model)}\n")


def _curl(url: str, key: str, model: str) -> str:
    messages = [{"role": "user", "content": "Say hello"}]
    body = {"model": model, "messages": messages, "max_tokens": 60}  # quick on any machine
    authority = _own_authority(url)
    trusting = f"--cacert {shlex.quote(authority)} " if authority else ""
    return (
        f"curl {trusting}{url}/v1/chat/completions -H 'Authorization: Bearer {key}'"
        f" -H 'Content-Type: application/json' -d '{json.dumps(body)}'"
    )


def _own_authority(url: str) -> str:
    """Returns the file of our own authority, if it signed the certificate of this URL; else "".

    Clients trust no such authority by themselves.
    """
    files = configured_files.own_files()
    is_ours = url.startswith("https://") and configured_files.remedy(files)
    return str(configured_files.own_authority()) if is_ours else ""
