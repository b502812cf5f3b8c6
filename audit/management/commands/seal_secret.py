import re
import sys
from getpass import getpass
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.keys import configuration_secrets

_URL = re.compile(r"https?://[^\s,/@]+(/\S*)?")


class Command(BaseCommand):
    help = (
        "Encrypts a secret for the configuration, for example an engine's api_key in "
        "FOREBAY_ENGINES. Reads it from standard input, prints what to write in its place."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "name", help="the pool in FOREBAY_ENGINES that it is for; in the short form, the model"
        )
        parser.add_argument(
            "url", nargs="+", help="of the engine, or engines, that it may be sent to"
        )

    def handle(self, *args: Any, **options: Any) -> str:
        typed = getpass("Secret: ") if sys.stdin.isatty() else sys.stdin.readline()
        if not (secret := typed.strip()):
            raise CommandError("there is no secret on standard input")
        for url in options["url"]:
            if not _URL.fullmatch(url):
                raise CommandError(f"{url!r} must begin with http:// or https:// and name a host")
        return configuration_secrets.encrypt_secret(secret, options["name"], *options["url"])
