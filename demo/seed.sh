#!/bin/sh
# Creates the demo's user, an admin, and its keys, unless they exist.
# Environment: DATABASE_URL, the key service's database; KEY_SERVICE, its executable (default: key-service).
set -eu

: "${KEY_SERVICE:=key-service}"
user=demo@example.com

printf '%s' 'demo-password' |
  "$KEY_SERVICE" user add "$user" --password-stdin --permissions '*' --admin --if-absent >/dev/null

# The key that the README's examples use.
printf '%s' 'phx_1234567890abcdef' |
  "$KEY_SERVICE" key create --user "$user" --label 'Documentation' --scopes '*' \
    --value-stdin --if-absent >/dev/null

printf '%s' 'phx_demo_insights_only' |
  "$KEY_SERVICE" key create --user "$user" --label 'Insights only' --scopes 'insight:read' \
    --value-stdin --if-absent >/dev/null
