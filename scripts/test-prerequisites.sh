#!/usr/bin/env bash
# Makes sure that what the tests need is installed: PostgreSQL's programs, flock, curl, npm, Python and cargo-nextest.
# Installs through apt as root or with sudo; otherwise says what to install, and fails.
set -euo pipefail

# The newest version that builds with the Rust version of this workspace.
nextest_version=0.9.143

missing=()

has_postgres() {
    [ -n "${INGRAM_TEST_POSTGRES_URL:-}" ] && return 0
    local folder
    for folder in "$(pg_config --bindir 2>/dev/null || true)" /usr/lib/postgresql/*/bin ${PATH//:/ }; do
        [ -x "$folder/initdb" ] && [ -x "$folder/pg_ctl" ] && [ -x "$folder/postgres" ] && return 0
    done
    return 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        # Asks for a password only where somebody can type it.
        if [ -t 0 ]; then sudo "$@"; else sudo -n "$@"; fi
    fi
}

can_use_apt() {
    command -v apt-get >/dev/null || return 1
    [ "$(id -u)" -eq 0 ] && return 0
    command -v sudo >/dev/null || return 1
    [ -t 0 ] || sudo -n true 2>/dev/null
}

# Runs a command; its output is shown only when it fails.
quietly() {
    local output
    output=$("$@" 2>&1) || {
        printf '%s\n' "$output" >&2
        return 1
    }
}

# install_package PACKAGE
install_package() {
    can_use_apt || return 1
    echo "Installing $1 (the tests need it) ..."
    quietly as_root apt-get update &&
        quietly as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$1"
}

if ! has_postgres && ! { install_package postgresql && has_postgres; }; then
    missing+=("PostgreSQL: \`apt-get install postgresql\`, or set INGRAM_TEST_POSTGRES_URL to a server where databases may be created")
fi
if ! command -v flock >/dev/null && ! install_package util-linux; then
    missing+=("flock: \`apt-get install util-linux\`")
fi
if ! command -v curl >/dev/null && ! install_package curl; then
    missing+=("curl: \`apt-get install curl\`")
fi
if ! command -v npm >/dev/null && ! install_package npm; then
    missing+=("npm: \`apt-get install npm\`")
fi
if ! python3 -c 'import ensurepip, venv' 2>/dev/null && ! install_package python3-venv; then
    missing+=("Python with venv: \`apt-get install python3-venv\`")
fi
if ! cargo nextest --version >/dev/null 2>&1; then
    echo "Installing cargo-nextest $nextest_version (it runs the tests) ..."
    if ! quietly cargo install cargo-nextest --locked --version "$nextest_version"; then
        missing+=("cargo-nextest: \`cargo install cargo-nextest --locked --version $nextest_version\`")
    fi
fi

if ! cargo fmt --version >/dev/null 2>&1 || ! cargo clippy --version >/dev/null 2>&1; then
    if ! command -v rustup >/dev/null || ! quietly rustup component add rustfmt clippy; then
        missing+=("rustfmt and clippy: \`rustup component add rustfmt clippy\`")
    fi
fi

if [ "${#missing[@]}" -gt 0 ]; then
    echo "The tests need what is not installed here. Install it, then run this again:" >&2
    printf '  - %s\n' "${missing[@]}" >&2
    exit 1
fi
