"""`forebay`, the console command of the installed package.

line     what was typed                table    every subcommand, and the module that runs it
becoming one program in place of this  installed  which Forebay this is
"""
