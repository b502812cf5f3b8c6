"""`python -m config.energy governor` or `sweep …`: the parts of it that need the database."""

import importlib
import os
import sys


def main() -> int | None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("FOREBAY_DATABASE_SCOPE", "system")
    import django

    django.setup(set_prefix=False)
    module = importlib.import_module(f"config.energy.{sys.argv.pop(1)}")
    result: int | None = module.main()
    return result


if __name__ == "__main__":
    sys.exit(main())
