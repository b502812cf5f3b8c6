"""What `make run` starts: every process of the platform, watched until Ctrl-C.

__main__  the order of events      options   what the environment asks for
home      its folders and lock     kin       which processes are ours, and the end of orphans
child     one process              keeper    all of them: start, restart, stop
postgres, valkey, engine           the embedded servers
servers   embedded or given        preparing migrate, static files, first run
processes web, jobs, beat          screen    what the person at the terminal sees
workers   of each engine           launched  engines of FOREBAY_ENGINES with `launch`
launches  their servers            launch_command, server_group   how one is started
life      starting, ready, dead
"""
