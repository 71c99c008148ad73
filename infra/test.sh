#!/bin/sh
# Check everything: formatting, lint, types, the import contracts, and the tests with real local servers.
#   sh infra/test.sh               the ordinary run
#   sh infra/test.sh -m slow       the long tests; any arguments go to pytest
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=infra/venv.sh
. "$root/infra/venv.sh"

install_extra test
command -v node >/dev/null 2>&1 || say 'node is not installed: the test of a trial written for it is skipped'
command -v slurmctld >/dev/null 2>&1 || say 'slurm-wlm is not installed: the tests on a real cluster install it where they run as root on Debian, else they are skipped'
for tool in spin gcc; do
    command -v "$tool" >/dev/null 2>&1 || say "$tool is not installed: the models of the protocol are not searched"
done
command -v terraform >/dev/null 2>&1 || say 'terraform is not installed: the modules of infra/terraform are not tested'

cd "$root"
PATH="$root/.venv/bin:$PATH"
export PATH
say 'ruff, mypy, import-linter'
ruff check --quiet .
ruff format --check --quiet . || fail "not formatted: run '.venv/bin/ruff format .'"
mypy --no-error-summary
lint-imports >.venv/lint-imports.log 2>&1 || {
    cat .venv/lint-imports.log >&2
    fail 'an import contract is broken'
}
say 'pytest'
exec python -m pytest -n 2 "$@"
