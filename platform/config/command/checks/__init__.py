"""What `forebay check` looks at: each module has functions that find, and change nothing.

finding   one line of the answer      machine   Python, memory of files, disk
settings  every value                 secrets   keys and passwords
servers   PostgreSQL, Redis, clocks   ports     ours, free or held
exposed   what others could read
"""
