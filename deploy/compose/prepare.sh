#!/bin/sh
# Makes the secrets once; what is there stays.
set -eu
cd "$(dirname "$0")"
# Others do not get into the folder; the containers' user has to read the files.
mkdir -p secrets
chmod 700 secrets

word() {
    LC_ALL=C tr -dc 'A-Za-z0-9' </dev/urandom | head -c 43
}

make_secret() {
    [ -s "secrets/$1" ] && return
    printf '%s\n' "$2" >"secrets/$1"
    chmod 644 "secrets/$1"
}

make_secret pepper "$(word)"
make_secret database_password "$(word)"
make_secret accounts_url "postgres://phial:$(cat secrets/database_password)@database/phial"
