#!/usr/bin/env bash
# Installs what the client of MCP servers is tested against, into the folder for build output: servers from npm and PyPI, the
# conformance suite, and a Node.js that is new enough for it. Quick when all of it is there.
set -euo pipefail
cd "$(dirname "$0")/.."

wanted=crates/tools/tests/peers
folder="${CARGO_TARGET_DIR:-target}/mcp-peers"

mkdir -p "$folder"
exec 9>"$folder/lock"
flock 9

stamp=$(cat "$wanted/package-lock.json" "$wanted/requirements.txt" | sha256sum)
if [ "$(cat "$folder/installed" 2>/dev/null)" = "$stamp" ]; then
    exit 0
fi

# Runs a command; its output is shown only when it fails.
quietly() {
    local output
    output=$("$@" 2>&1) || {
        printf '%s\n' "$output" >&2
        return 1
    }
}

echo "Installing MCP servers for the tests ..."
rm -f "$folder/installed"
cp "$wanted/package.json" "$wanted/package-lock.json" "$folder/"
quietly npm ci --prefix "$folder" --no-audit --no-fund
quietly python3 -m venv "$folder/python"
quietly "$folder/python/bin/pip" install --disable-pip-version-check --requirement "$wanted/requirements.txt"
"$folder/node_modules/.bin/node" --version >/dev/null
printf '%s\n' "$stamp" >"$folder/installed"
