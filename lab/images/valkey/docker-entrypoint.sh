#!/bin/sh
# Does what the official image's entry point does (valkey-container, docker-entrypoint.sh), in our words.
set -e

# options or a configuration file only: the server is meant
case "${1:-}" in
    -* | *.conf) set -- valkey-server "$@" ;;
esac

if [ "${1:-}" = valkey-server ] && [ "$(id -u)" = 0 ]; then
    # A fresh volume got the owner of the image's /data; only a foreign one needs (and may lack) CHOWN.
    find . \! -user valkey -exec chown valkey '{}' +
    exec setpriv --reuid=valkey --regid=valkey --clear-groups -- "$0" "$@"
fi

# the snapshot and the append-only file are nobody else's to read
if [ "$(umask)" = 0022 ]; then
    umask 0077
fi

# The official image is compiled with protected mode off, Debian's package with it on: without this a
# server without a password would refuse every other container. Whoever sets it keeps what was set.
if [ "${1:-}" = valkey-server ]; then
    configured=no
    for argument in "$@"; do
        case "$argument" in
            --protected-mode) configured=yes ;;
            *.conf) if grep -qiE '^[[:space:]]*protected-mode' "$argument"; then configured=yes; fi ;;
        esac
    done
    if [ "$configured" = no ]; then
        set -- "$@" --protected-mode no
    fi
fi

# VALKEY_EXTRA_FLAGS is split into words on purpose, as upstream does
# shellcheck disable=SC2086
exec "$@" $VALKEY_EXTRA_FLAGS
