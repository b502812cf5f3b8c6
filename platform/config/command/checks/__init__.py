"""The checks of `forebay check`: functions that yield findings, and change nothing.

finding   one line of the answer      machine   Python, memory of files, disk
settings  every value                 secrets   keys and passwords
servers   PostgreSQL, Redis, clocks   ports     ours, free or in use
exposed   answers open to others      embedded  servers that `forebay run` starts
certificates, platform_itself
"""
