"""Starts every process of the platform, and watches them until Ctrl-C: `make run`.

__main__         the order of events          options        what the environment asks for
home             its folders and its lock     own_processes  our processes, the end of orphans
child            one process                  keeper         all: start, restart, stop
embedded/        PostgreSQL and Valkey        servers        embedded, or from the environment
preparation      migrations, the first run    screen         lines for the person at the terminal
processes        web, gRPC, jobs, beat        workers        those of each engine
watchdog         kills silent processes       scrape_targets ports of metrics
engines/         servers of engines: launches starts those with `launch` by launch_command, life
                 records starting, ready and dead, server_watch looks for a stall
"""
