#!/usr/bin/env python
"""Forebay's command line: `python manage.py help`."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("FOREBAY_DATABASE_SCOPE", "system")
    from config.command.management_commands import execute

    execute(sys.argv)
