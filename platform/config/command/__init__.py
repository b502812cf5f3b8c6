"""`forebay`, the console command of the installed package.

command_line  parses what was typed       table    every subcommand, and the module that runs it
startup       replaces this process       version  prints the version
"""
