#!/bin/sh
# install.sh PYTHON LOCK: installs what the lock pins, with one line of progress on stderr.
# What pip says goes to .venv/install.log, and is shown when it fails.
set -u
python=$1 lock=$2 log=.venv/install.log
all=$(grep -c '^[A-Za-z0-9].*==' "$lock")

progress() {
    done=$(grep -c -e '^Collecting ' -e '^Requirement already satisfied' "$log")
    [ "$done" -lt "$all" ] && step="$done of $all packages fetched" || step='unpacking'
    printf '\r\033[KInstalling %s into .venv: %s' "$lock" "$step" >&2
}

: >"$log"  # the first look at it may come before pip's shell has made it
# In a session of its own: Ctrl-C is ours to pass on, to whatever pip has started too.
setsid "$python" -m pip --disable-pip-version-check --no-input --no-color \
    install --progress-bar off --no-deps --require-hashes -r "$lock" >"$log" 2>&1 &
pip=$!
stopped=
trap 'stopped=1; kill -TERM -$pip 2>/dev/null' INT TERM
[ -t 2 ] || printf 'Installing %s packages of %s into .venv (one to three minutes)' "$all" "$lock" >&2
while kill -0 $pip 2>/dev/null; do
    [ -t 2 ] && progress
    sleep 0.3
done
wait $pip
failed=$?
if [ "$stopped" ]; then
    printf '\nStopped: the next make goes on with what is fetched already\n' >&2
    exit 130
elif [ $failed = 0 ]; then
    [ -t 2 ] && printf '\r\033[KInstalled %s packages of %s into .venv\n' "$all" "$lock" >&2 || echo >&2
else
    printf '\nThe installation failed; the end of %s:\n' "$log" >&2
    tail -n 25 "$log" >&2
    exit 1
fi
