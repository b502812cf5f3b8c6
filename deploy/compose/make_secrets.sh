#!/bin/sh
# make_secrets.sh [FOLDER]: what compose.yaml needs as secrets, once, each readable for the one
# service that needs it. As root, for the files belong to the users of the containers.
set -eu
folder=${1:-$(dirname "$0")/secrets}
[ ! -e "$folder" ] || { echo "$folder is there already: nothing was changed" >&2; exit 1; }
[ "$(id -u)" = 0 ] || { echo "run it as root: the files belong to users of the containers" >&2; exit 1; }
umask 077
forebay=10001 postgres=999 valkey=999 prometheus=65534 grafana=472

random() { od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'; }
key() { head -c 32 /dev/urandom | base64; }
write() { # OWNER NAME, the text on stdin
    cat > "$draft/$2"
    chown "$1" "$draft/$2"
    chmod 440 "$draft/$2"
}

draft=$folder.new
rm -rf "$draft"
mkdir -p "$draft"
admin=$(random 24) application=$(random 24) requests=$(random 24) redis=$(random 24)
printf %s "$admin" | write "$postgres:0" postgres_password
printf %s "$application" | write "$postgres:0" application_password
printf %s "$requests" | write "$postgres:0" requests_password
printf 'requirepass %s\nmaxmemory-policy noeviction\nsave ""\nappendonly no\n' "$redis" \
    | write "$valkey:0" valkey.conf
url=@postgres:5432/forebay
echo "postgres://postgres:$admin$url" | write "$forebay:0" administrators_database_url
echo "postgres://forebay:$application$url" | write "$forebay:0" database_url
echo "postgres://forebay_requests:$requests$url" | write "$forebay:0" requests_database_url
echo "redis://:$redis@valkey:6379/0" | write "$forebay:0" redis_url
for name in master_key platform_secret audit_signing_key; do key | write "$forebay:0" $name; done
random 24 | write "$forebay:$prometheus" metrics_token
random 16 | write "$grafana:0" grafana_password
chmod 755 "$draft"
mv "$draft" "$folder"
echo "Back up $folder/master_key, platform_secret and audit_signing_key apart from the database:" \
    "without them nothing can be read." >&2
