"""`forebay demo fraud`: a decision policy on made-up payments, on a platform that runs."""

import argparse
import os
import sys
from collections.abc import Sequence

import django

SCENARIOS = ("fraud",)
DEMO_TENANT = "demo"


def demo(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="forebay demo", description=__doc__)
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--tenant", default=DEMO_TENANT)
    parser.add_argument("--model", help="by default the first that gives log-probabilities")
    parser.add_argument("--decisions", type=int, default=20, metavar="N")
    options = parser.parse_args(arguments)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("FOREBAY_DATABASE_SCOPE", "system")
    django.setup()
    from django.core.exceptions import ValidationError
    from django.db import Error

    from config.demo.fraud import FraudDemo
    from config.demo.http_api import Unready
    from config.demo.http_decisions import HttpDecisions

    try:
        shown = FraudDemo.of(options.tenant, options.model, HttpDecisions())
        shown.run(options.decisions)
    except ValidationError as problem:
        print(f"forebay demo: {' '.join(problem.messages)}", file=sys.stderr)
    except (Unready, OSError, Error) as problem:
        print(f"forebay demo: {problem}", file=sys.stderr)
    else:
        return 0
    return 1
