#!/bin/sh
# Makes the names and passwords of a cluster, once, and gives each role what it alone needs: a host, which runs other people's code,
# holds no credential but its own. Argument: the servers, with commas. Run again it changes nothing.
set -eu
cluster=/cluster
for=/for

if [ ! -e "$cluster/made" ]; then
  pilot cluster init "$cluster/all" --brokers "$1" --storage /data --force
  # What callers of the gateway have to send.
  node -e 'console.log(crypto.randomBytes(24).toString("base64url"))' > "$cluster/all/token"
  chmod 600 "$cluster/all/token"
  : > "$cluster/made"
fi
cp -p "$cluster"/all/brokers/*.conf "$for/brokers/"
for role in scheduler frontend host gateway; do cp -p "$cluster/all/contexts/$role.json" "$for/$role/"; done
cp -p "$cluster/all/token" "$for/gateway/"
