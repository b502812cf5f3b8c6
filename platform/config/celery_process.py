"""`python -m config.celery_process …`: Celery's own command.

By itself it looks for `config` in the working folder first, where anybody's project may have one.
"""

import config.celery  # noqa: F401  # from here on it is known
from celery.__main__ import main

if __name__ == "__main__":
    main()
