#!/bin/sh
# Writes compose.override.yaml with the images of compose.yaml by digest: those that their tags name
# now, and no others later. What has no digest stays as it is: an image that was built on this host.
set -eu
cd "$(dirname "$0")"
docker=${DOCKER:-docker}
pinned=compose.override.yaml
new=$(mktemp "$pinned.XXXXXX")
trap 'rm -f "$new" "$new.images"' EXIT

echo "# Written by pin_images.sh." > "$new"
echo "services:" >> "$new"
$docker compose -f compose.yaml --profile gpu config | awk '
    /^[a-z]/ { top = $1 }
    top == "services:" && /^  [a-z0-9_-]+:$/ { name = substr($1, 1, length($1) - 1) }
    top == "services:" && /^    image: / { print name, $2 }' > "$new.images"
while read -r service image; do
    tag=${image%@*}
    $docker pull --quiet "$tag" > /dev/null || true
    digest=$($docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$tag" | head -n 1)
    if [ "$digest" ]; then
        echo "  $service: {image: \"$tag@${digest##*@}\"}" >> "$new"
    else
        echo "$service: there is no digest of $tag" >&2
    fi
done < "$new.images"
chmod 644 "$new"
mv "$new" "$pinned"
