#!/usr/bin/env bash
set -euo pipefail

RELEASE_DIR="${RELEASE_DIR:-/srv/shop}"

# Stops the service and waits until its port is free.
stop_service() {
    local name="$1" tries=0
    systemctl stop "$name" || true
    while ss -ltn | grep -q ":${PORT} "; do
        tries=$((tries + 1))
        if [ "$tries" -gt 30 ]; then
            echo "port ${PORT} is still in use" >&2
            return 1
        fi
        sleep 1
    done
}

function unpack_release {
    local archive="$1"
    mkdir -p "$RELEASE_DIR/next"
    tar -xzf "$archive" -C "$RELEASE_DIR/next" --strip-components=1
    ln -sfn "$RELEASE_DIR/next" "$RELEASE_DIR/current"
    find "$RELEASE_DIR" -maxdepth 1 -mtime +14 -name 'old-*' -exec rm -rf {} +
}

case "${1:-}" in
    stop) stop_service shop ;;
    unpack) unpack_release "$2" ;;
    *) echo "usage: deploy.sh stop | unpack ARCHIVE" >&2; exit 2 ;;
esac
