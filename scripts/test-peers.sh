#!/usr/bin/env bash
# Installs what the server is tested against, into the folder for build output, from npm and PyPI and with a Node.js that is new enough:
# `mcp`, servers of tools and the conformance suite of that protocol, and `openai`, the clients of OpenAI's APIs. All of them unless told
# which. Quick when all of it is there.
set -euo pipefail
cd "$(dirname "$0")/.."

# Runs a command; its output is shown only when it fails.
quietly() {
    local output
    output=$("$@" 2>&1) || {
        printf '%s\n' "$output" >&2
        return 1
    }
}

# install_peers NAME WANTED TITLE: what the folder WANTED lists goes into the folder NAME.
install_peers() {
    local folder="${CARGO_TARGET_DIR:-target}/$1" wanted="$2" stamp
    mkdir -p "$folder"
    exec 9>"$folder/lock"
    flock 9

    stamp=$(cat "$wanted/package-lock.json" "$wanted/requirements.txt" | sha256sum)
    if [ "$(cat "$folder/installed" 2>/dev/null)" = "$stamp" ]; then
        return 0
    fi

    echo "Installing $3 for the tests ..."
    rm -f "$folder/installed"
    cp "$wanted/package.json" "$wanted/package-lock.json" "$folder/"
    quietly npm ci --prefix "$folder" --no-audit --no-fund &
    local npm=$!
    quietly python3 -m venv "$folder/python"
    # What is imported is compiled then.
    quietly "$folder/python/bin/pip" install --no-compile --disable-pip-version-check --requirement "$wanted/requirements.txt"
    wait "$npm"
    "$folder/node_modules/.bin/node" --version >/dev/null
    printf '%s\n' "$stamp" >"$folder/installed"
}

[ $# -gt 0 ] || set -- mcp openai
for name in "$@"; do
    case "$name" in
    mcp) install_peers mcp-peers crates/tools/tests/peers "MCP servers" ;;
    openai) install_peers openai-clients clients "clients of OpenAI's APIs" ;;
    *)
        echo "There are the peers mcp and openai, and no others." >&2
        exit 2
        ;;
    esac
done
