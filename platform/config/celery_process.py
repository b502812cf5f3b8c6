"""Celery's own command, as `python -m config.celery_process …`.

The `celery` script looks for `config` in the working folder first, where any project may have one.
"""

from celery.__main__ import main

import config.celery  # noqa: F401  # from here on it is known

if __name__ == "__main__":
    main()
