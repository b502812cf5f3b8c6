"""`forebay demo`: a scenario on a platform that runs.

`fraud` is a decision policy on made-up payments, `service` an assistant that knows Forebay's pages.
"""

import argparse
import os
import sys
from collections.abc import Sequence

import django

SCENARIOS = ("fraud", "service")
DEMO_TENANT = "demo"
NOT_READY = "forebay demo: the tables are not ready. Wait until the platform says that it is."


def demo(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="forebay demo", description=__doc__)
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--tenant", default=DEMO_TENANT)
    parser.add_argument("--model", help="by default the first that is fit for the scenario")
    parser.add_argument("--decisions", type=int, default=20, metavar="N", help="of fraud")
    options = parser.parse_args(arguments)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("FOREBAY_DATABASE_SCOPE", "system")
    django.setup()
    from django.core.exceptions import ValidationError
    from django.db import Error, ProgrammingError

    from config.demo.http_api import Unready

    try:
        _show(options)
    except ValidationError as problem:
        print(f"forebay demo: {' '.join(problem.messages)}", file=sys.stderr)
    except ProgrammingError:  # no tables, or no right to them yet
        print(NOT_READY, file=sys.stderr)
    except (Unready, OSError, Error) as problem:
        print(f"forebay demo: {problem}", file=sys.stderr)
    else:
        return 0
    return 1


def _show(options: argparse.Namespace) -> None:
    """Raises Unready, ValidationError, OSError, django.db.Error."""
    if options.scenario == "fraud":
        from config.demo.fraud import FraudDemo
        from config.demo.http_decisions import HttpDecisions

        shown = FraudDemo.of(options.tenant, options.model, HttpDecisions())
        return shown.run(options.decisions)
    from config.demo.customer_service import ServiceDemo
    from config.demo.http_api import HttpApi

    return ServiceDemo.of(options.tenant, options.model, HttpApi()).run()
