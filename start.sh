#!/bin/sh
# Sets up what is missing in .venv beside this file, then becomes `stable-core ARGS…`; without arguments `stable-core serve`.
# `start.sh --set-up LOCK` only sets up, from that lock file.
set -eu
here=$(cd -- "$(dirname -- "$0")" && pwd -P)
venv=$here/.venv
lock=requirements.lock
if [ "${1-}" = --set-up ]; then lock=$2; fi

say() { printf 'stable-core: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# What an environment must have been made from to be up to date: this folder, these versions, this project, its web client.
wanted() {
    printf '%s\n' "$here"
    cat -- "$here/$lock" "$here/pyproject.toml"
    [ ! -d "$here/clients/web" ] || find "$here/clients/web" -name node_modules -prune -o -type f -exec cksum {} + | sort
}

find_python() {
    for python in ${PYTHON-} python3 python3.14 python3.13 python3.12 python3.11 python; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then return; fi
    done
    fail "Python 3.11 or newer is needed. Install it, or name one: PYTHON=/path/to/python $0"
}

# uv installs everything else. It comes through pip, so pip's own settings (mirror, wheel folder, proxy) find it.
install_uv() {
    uv=$(grep '^uv==' "$here/$lock")
    set -- install --quiet --disable-pip-version-check "$uv"
    if "$venv/bin/python" -c "import importlib.metadata as m, sys; sys.exit('uv==' + m.version('uv') != '$uv')" 2>/dev/null
    then return; fi
    find_python
    if "$python" -m pip --python "$venv/bin/python" "$@" 2>/dev/null; then return; fi
    "$venv/bin/python" -m ensurepip >/dev/null 2>&1 || fail "pip is missing. On Debian and Ubuntu: apt install python3-venv"
    "$venv/bin/python" -m pip "$@" || fail "uv could not be installed. Is this machine online?"
}

set_up() {
    say "setting up, this is done once"
    if ! "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        find_python
        "$python" -m venv --clear --without-pip "$venv" || fail "On Debian and Ubuntu: apt install python3-venv"
    fi
    install_uv
    (cd -- "$here" && PYTHONPATH=src "$venv/bin/python" -m stable_core.environments pip install \
        --python "$venv/bin/python" --no-deps --requirements "$lock" --editable .) || fail "Setting up failed, see above."
    wanted >"$venv/made-from-$lock"
}

if ! [ -x "$venv/bin/stable-core" ] || [ "$(wanted)" != "$(cat -- "$venv/made-from-$lock" 2>/dev/null)" ]; then set_up; fi
if [ "${1-}" = --set-up ]; then exit; fi
if [ $# -eq 0 ]; then set -- serve; fi
exec "$venv/bin/stable-core" "$@"
