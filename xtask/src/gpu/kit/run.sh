#!/bin/sh
# Starts the checks and measurements of this folder; see README.txt. PYTHON names another Python than python3.
set -u

here=$(CDPATH='' cd "$(dirname "$0")" && pwd -P) || exit 1
python=${PYTHON:-python3}
if ! command -v "$python" >/dev/null 2>&1; then
    echo "run: expected \`$python\` in PATH, found none; install Python 3.10 or newer, or set PYTHON" >&2
    exit 1
fi
exec "$python" -B "$here/kit/main.py" "$@"
