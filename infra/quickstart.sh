#!/bin/sh
# Install hpo-pipe into .venv and tune a small neural network on handwritten digits, with two workers, here.
# May be run again: what is installed is reused, and a study that was interrupted goes on where it stood.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=infra/venv.sh
. "$root/infra/venv.sh"

install_extra example
PATH="$root/.venv/bin:$PATH"
export PATH

cd "$root"
hpo-pipe run hpo_pipe/examples/digits/study.toml --workers 2
say "
To have hpo-pipe at hand in this shell:  . '$root/.venv/bin/activate'
To start anew:                           rm -r '$root/hpo-pipe-studies/digits' && sh '$root/infra/quickstart.sh'"
