#!/bin/sh
# As PostgreSQL's image: in an empty volume it makes the database, then does what
# /docker-entrypoint-initdb.d says, while nobody else can connect.
set -eu
if [ "$(id -u)" = 0 ]; then
    chown 999:999 "$PGDATA" && chmod 700 "$PGDATA"
    exec setpriv --reuid=999 --regid=999 --clear-groups sh "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb -U postgres --encoding=UTF8 --locale=C.UTF-8 --pwfile="$POSTGRES_PASSWORD_FILE" --auth-local=trust --auth-host=scram-sha-256
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
    pg_ctl -w start -o "-c listen_addresses=''"
    createdb -U postgres "$POSTGRES_DB"
    for script in /docker-entrypoint-initdb.d/*.sh; do . "$script"; done
    pg_ctl -w stop
fi
exec "$@"
