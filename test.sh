#!/bin/sh
# Sets up and runs the whole test suite: the core's tests, each plugin's in its own environment, and those of the built-in
# model's training. Arguments go to pytest.
set -eu
here=$(cd -- "$(dirname -- "$0")" && pwd -P)
cd -- "$here"
python=$here/.venv/bin/python
export OMP_NUM_THREADS="${OMP_NUM_THREADS-1}" OMP_WAIT_POLICY="${OMP_WAIT_POLICY-passive}"
unset PYTHONDONTWRITEBYTECODE

say() { printf '%s\n' "== $*"; }

failed=
# Runs one part of the suite. With arguments such as `-k seed` a part may have no test left (pytest's exit 5).
part() {
    say "$1"
    shift
    code=0
    "$@" || code=$?
    if [ $code -ne 0 ] && ! { [ $code -eq 5 ] && [ "$has_arguments" ]; }; then failed=yes; fi
}
has_arguments=${1+yes}

./start.sh --set-up requirements-dev.lock

part "core" "$python" -m pytest -n 2 --dist loadfile "$@" --ignore tests/web tests
# In a process of its own: the browser's event loop runs all the time, and other tests could start none beside it.
part "web client" "$python" -m pytest "$@" tests/web

# A plugin is tested by what its users run: its own lock, on its own, with the SDK of this checkout and its contract.
tools=$(grep -E '^(pytest|pytest-timeout)==' requirements-dev.lock)
for plugin in plugins/*/; do
    plugin=${plugin%/}
    [ -d "$plugin/tests" ] || continue
    name=${plugin##*/}
    venv=$here/.venv/plugins/$name
    locks="--requirements $plugin/requirements.lock"
    [ -f "$plugin/requirements.lock" ] || locks=
    [ ! -f "$plugin/requirements.excludes" ] || locks="$locks --excludes $plugin/requirements.excludes"
    made_from="$locks $tools $(cat "$plugin/requirements.lock" 2>/dev/null || true)"
    if [ "$made_from" != "$(cat "$venv/made-from" 2>/dev/null)" ]; then
        say "environment of $name"
        PYTHONPATH=src "$python" -m stable_core.environments venv --quiet --clear --python "$python" "$venv"
        # shellcheck disable=SC2086
        PYTHONPATH=src "$python" -m stable_core.environments pip install --python "$venv/bin/python" $locks $tools \
            'pillow>=10.3' 'pydantic>=2.6'
        printf '%s' "$made_from" >"$venv/made-from"
    fi
    part "plugin $name" env PYTHONPATH="$here/src:$here/$plugin" "$venv/bin/python" -m pytest \
        -p stable_core_testing.contract --stable-core-plugin "$here/$plugin" "$@" "$plugin/tests"
done

# What trains the built-in model needs no packages but those of the plugin that runs it.
part "training of nano" "$here/.venv/plugins/sd/bin/python" -m pytest "$@" training/nano/tests

if [ "$failed" ]; then
    say "failed"
    exit 1
fi
say "passed"
