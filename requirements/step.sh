#!/bin/sh
# step.sh COMMAND...: one step of an installation. Ctrl-C ends it, with all that it has started, in
# one line: Python by itself shows a traceback for each of its processes.
setsid "$@" &
step=$!
trap 'kill -TERM -$step 2>/dev/null; wait $step 2>/dev/null; printf "\nStopped: the next make begins this step anew\n" >&2; exit 130' INT TERM
wait $step
