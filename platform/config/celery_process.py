"""`python -m config.celery_process …`: Celery's own command.

By itself it looks for `config` in the working folder first, where anybody's project may have one.
"""

from celery.__main__ import main

import config.celery  # noqa: F401  # from here on it is known

if __name__ == "__main__":
    main()
