"""`manage.py record_verification`: stores the result of `forebay backup verify`, read as JSON."""

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand

from console.backups.record import Verified
from console.backups.verifications import store


class Command(BaseCommand):
    help = "Stores the result of a verification of a backup, and puts it on record."
    requires_system_checks = ()

    def handle(self, *_args: Any, **_options: Any) -> None:
        store(Verified(**json.load(sys.stdin)))
