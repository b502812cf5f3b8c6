#!/bin/sh
# PostgreSQL's image runs this once, in an empty volume: the two roles of docs/deployment-database.md.
set -eu
psql --quiet -v ON_ERROR_STOP=1 -U postgres -d forebay \
    -v application="$(cat /run/secrets/application_password)" \
    -v requests="$(cat /run/secrets/requests_password)" <<'SQL'
create role forebay login password :'application';
create role forebay_requests login password :'requests';
SQL
