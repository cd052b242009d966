#!/bin/bash
# Succeeds if a GET of http://127.0.0.1:PORT/PATH gets status 200: the containers' health check.
# Usage: http-ok.sh PORT /PATH
# Needs bash alone (for /dev/tcp), because the images have no curl.
set -eu
exec 3<>"/dev/tcp/127.0.0.1/$1"
printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$2" >&3
read -r _ status _ <&3
[ "$status" = 200 ]
