"""python -m config.command: the same as `forebay`."""

from config.command.line import main

main()
