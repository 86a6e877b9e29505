#!/bin/sh
# Makes or refreshes the private environment that everything runs in: deploy/venv.sh VENV LOCK_FILE
# Installs exactly what the lock file says, by hash, and this checkout's two packages; does nothing when it is current.
set -eu
venv=$1
lock=$2
cd "$(dirname "$0")/.."

stamp=$venv/$(basename "$lock" .txt).installed
current=$(cat "$lock" pyproject.toml client/pyproject.toml | cksum)
[ "$(cat "$stamp" 2>/dev/null)" = "$current" ] && exit 0

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

find_python() {
    for candidate in ${PYTHON:-} python3.11 python3 python3.12; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

python=$(find_python) || fail "Commonweal needs Python 3.11 or 3.12; none was found." \
    "Install it (Debian 12: apt-get install python3), or name it: make demo PYTHON=/path/to/python3.11"

# Debian's Python comes without ensurepip; python3-venv brings it, and pip alone will do as well.
pip="$venv/bin/python -m pip"
if ! "$venv/bin/python" -c '' 2>/dev/null; then
    rm -rf "$venv"
    if ! "$python" -c 'import ensurepip' 2>/dev/null && ! "$python" -m pip --version >/dev/null 2>&1; then
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            echo "Installing python3-venv, which Debian leaves out of Python."
            apt-get update -qq
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null
        else
            fail "Python's venv module is incomplete here. Install it and run this again:" \
                "  apt-get install python3-venv        (as root)"
        fi
    fi
    if "$python" -c 'import ensurepip' 2>/dev/null; then
        "$python" -m venv "$venv"
    else
        "$python" -m venv --without-pip "$venv"
    fi
fi
"$venv/bin/python" -m pip --version >/dev/null 2>&1 || pip="$python -m pip --python $venv/bin/python"

echo "Installing into $venv what $lock names; this takes a minute the first time."
export PIP_DISABLE_PIP_VERSION_CHECK=1
$pip install --quiet --no-deps --require-hashes -r "$lock"
$pip install --quiet --no-deps --no-build-isolation -e . -e client
printf '%s\n' "$current" >"$stamp"
