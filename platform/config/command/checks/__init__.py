"""The checks of `forebay check`: functions that yield findings, and change nothing.

finding   one line of the answer      machine    Python, memory of files, disk
settings  every value                 secrets    keys and passwords
servers   PostgreSQL, Redis, clocks   transport  certificates, answers open to others
ports     ours, free or in use        platform_itself
"""
