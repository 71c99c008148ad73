# shellcheck shell=sh
# Read by quickstart.sh and test.sh: find a Python, make .venv, install into it only what is missing or has changed.
# Expects $root, the root of the repository. PYTHON=/path/to/python chooses the interpreter.

: "${root:?}"

fail() {
    printf 'hpo-pipe: %s\n' "$1" >&2
    exit 1
}

say() {
    printf '%s\n' "$1" >&2
}

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        new_enough "$PYTHON" || fail "PYTHON=$PYTHON is not a Python of 3.11 or newer"
        printf '%s\n' "$PYTHON"
        return
    fi
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
        if new_enough "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    found=$(python3 --version 2>/dev/null || echo 'no python3')
    fail "needs Python 3.11 or newer; found $found. Install one (for instance 'apt install python3 python3-venv', 'brew install python', or python.org), or name it: PYTHON=/path/to/python sh $0"
}

# The scripts of a virtual environment hold its path: one that was moved here is made anew.
make_venv() {
    if new_enough "$root/.venv/bin/python" && grep -qF "$root/.venv/bin/python" "$root/.venv/bin/pip" 2>/dev/null; then
        return
    fi
    python=$(find_python) || exit 1
    "$python" -c 'import venv, ensurepip' >/dev/null 2>&1 ||
        fail "$python has no venv module. On Debian and Ubuntu: apt install python3-venv (or python3.X-venv for that version)"
    say "Making .venv with $("$python" --version)"
    "$python" -m venv --clear "$root/.venv" || fail "could not make $root/.venv (is the disk full, or the folder read-only?)"
}

# install_extra NAME: install hpo-pipe with one of its extras, unless this very pyproject.toml was installed already.
install_extra() {
    make_venv
    stamp=$root/.venv/.installed-$1
    wanted="$root $(cksum <"$root/pyproject.toml")"
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
        return
    fi
    say "Installing hpo-pipe and its [$1] extra into .venv (once)"
    (cd "$root" && .venv/bin/python -m pip install -qq --disable-pip-version-check --editable ".[$1]") ||
        fail "pip could not install (its reason stands above). It needs a network and a package index, once"
    printf '%s\n' "$wanted" >"$stamp"
}
