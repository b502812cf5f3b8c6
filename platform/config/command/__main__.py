"""python -m config.command: the same as `forebay`."""

from config.command.command_line import main

main()
