#!/usr/bin/env bash
# The release binary as a benchmark wants it: one route, no token, messages of any size.
#
#   edge.sh TLS_PORT PLAIN_PORT UPSTREAM_PORT CERTIFICATE KEY FOLDER
#
# Build it first: swift build -c release --product culvert
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
cat >"$6/proxy.yaml" <<CONFIG
listen:
  - { address: "127.0.0.1:$1", tls: { certificates: [ { certificate: "$4", key: "$5" } ] } }
  - { address: "127.0.0.1:$2" }
routes:
  - path: /
    upstream: echo
    authentication: none
    origins: { allow: ["https://localhost:$1", "http://localhost:$2"] }
upstreams:
  echo: { servers: [ { url: "ws://127.0.0.1:$3" } ] }
limits: { message: 64MiB, connections: 20000 }
admin: { address: none }
state: none
log: { level: error }
CONFIG
exec "$root/.build/release/culvert" serve --config "$6/proxy.yaml"
