#!/usr/bin/env bash
# Does what upstream's backend/start.sh does for the parts this image has.
set -euo pipefail

cd "$(dirname "$0")"
key_file="${WEBUI_SECRET_KEY_FILE:-.webui_secret_key}"

if [ -z "${WEBUI_SECRET_KEY:-}${WEBUI_JWT_SECRET_KEY:-}" ]; then
    echo "Loading WEBUI_SECRET_KEY from file, not provided as an environment variable."
    if [ ! -e "$key_file" ]; then
        echo "Generating WEBUI_SECRET_KEY"
        (umask 077 && head -c 24 /dev/urandom | base64 > "$key_file")
    fi
    WEBUI_SECRET_KEY="$(cat "$key_file")"
fi
export WEBUI_SECRET_KEY="${WEBUI_SECRET_KEY:-${WEBUI_JWT_SECRET_KEY:-}}"

# exec: a stop signal must reach uvicorn
exec python3 -m uvicorn open_webui.main:app \
    --host "${HOST:-0.0.0.0}" \
    --port "${PORT:-8080}" \
    --forwarded-allow-ips "${FORWARDED_ALLOW_IPS:-*}" \
    --workers "${UVICORN_WORKERS:-1}"
