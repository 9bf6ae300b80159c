#!/bin/sh
# Does what the official image's entry point does (docker-library/postgres, docker-entrypoint.sh), in our words;
# no /docker-entrypoint-initdb.d.
set -eu

from_file() { # VARIABLE DEFAULT: sets it from VARIABLE_FILE, if that is given
    eval "value=\${$1:-} file=\${$1_FILE:-}"
    if [ -n "$value" ] && [ -n "$file" ]; then
        echo "docker-entrypoint: expected $1 or $1_FILE, got both" >&2
        exit 1
    fi
    if [ -n "$file" ]; then
        value=$(cat "$file")
    fi
    unset "$1_FILE"
    export "$1=${value:-$2}"
}

# a new database in $PGDATA, with its user, password and database; the server is reached by the local socket only
initialise() { # the server's arguments
    if [ -z "$POSTGRES_PASSWORD" ] && [ "${POSTGRES_HOST_AUTH_METHOD:-}" != trust ]; then
        echo "docker-entrypoint: expected POSTGRES_PASSWORD for the new database, got none" >&2
        exit 1
    fi
    # split into words on purpose, as upstream does
    # shellcheck disable=SC2086
    printf '%s\n' "$POSTGRES_PASSWORD" \
        | initdb --username="$POSTGRES_USER" --pwfile=/dev/stdin ${POSTGRES_INITDB_ARGS:-}
    method=${POSTGRES_HOST_AUTH_METHOD:-$(postgres -C password_encryption "$@")}
    printf '\nhost all all all %s\n' "$method" >> "$PGDATA/pg_hba.conf"

    # With arguments of its own, as when it serves: some can't be changed once there are data.
    pg_ctl -w -o "$(quoted "$@" -c listen_addresses= -p 5432)" start
    if [ "$POSTGRES_DB" != postgres ]; then
        echo 'CREATE DATABASE :"name";' \
            | psql -X -q -v ON_ERROR_STOP=1 -v name="$POSTGRES_DB" -U "$POSTGRES_USER" -d postgres
    fi
    pg_ctl -w -m fast stop
    echo 'PostgreSQL init process complete; ready for start up.'
}

quoted() { # WORD...: as a shell reads them back
    for word; do
        printf "'%s' " "$(printf %s "$word" | sed "s/'/'\\\\''/g")"
    done
}

case "${1:-}" in
    -*) set -- postgres "$@" ;;
esac
for argument; do
    case $argument in
        -'?' | --help | --describe-config | -V | --version) exec "$@" ;;
    esac
done
if [ "${1:-}" != postgres ]; then
    exec "$@"
fi

if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA" /var/run/postgresql
    chmod 0700 "$PGDATA"
    # Only what is foreign needs (and may lack) CHOWN.
    find "$PGDATA" /var/run/postgresql \! -user postgres -exec chown postgres '{}' +
    exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$0" "$@"
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    from_file POSTGRES_PASSWORD ''
    from_file POSTGRES_USER postgres
    from_file POSTGRES_DB "$POSTGRES_USER"
    shift
    initialise "$@"
    set -- postgres "$@"
fi
exec "$@"
