"""`forebay`, the console command of the installed package.

command_line  parses what was typed, with every subcommand   processes  those that are a process
operating     those that operate a running platform          checks     those of `forebay check`
"""
