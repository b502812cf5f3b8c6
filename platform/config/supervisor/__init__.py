"""Starts every process of the platform, and watches them until Ctrl-C: `make run`.

__main__         the order of events          options        what the environment asks for
home             its folders and its lock     own_processes  our processes, the end of orphans
child            one process                  keeper         all: start, restart, stop
embedded/        PostgreSQL and Valkey        servers        embedded, or from the environment
processes        web, gRPC, jobs, beat        workers        those of each engine
terminal         lines for the person there   scrape_targets ports of metrics
watchdog         kills silent processes       ports          free, reserved, in use
engines/         servers of engines: launches starts those with `launch` by launch_command,
                 server_life records starting, ready and dead, and looks for a stall
"""
