"""The command ``hpo-pipe``: makes sure that it runs isolated, then hands over to :mod:`hpo_pipe.cli`."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line; never returns."""
    from hpo_pipe.isolation import isolated, isolated_command, keep_sigterm

    keep_sigterm()
    if sys.executable and not isolated():
        os.execv(sys.executable, isolated_command("hpo_pipe", *sys.argv[1:]))  # noqa: S606 (no shell is wanted)
    from typing import TextIO, cast  # not before: a folder on PYTHONPATH may hold a module of that name

    from hpo_pipe.cli.group import cli
    from storage_schema.redaction import RedactedStream, Redactor, secret_values

    known = Redactor(secret_values(os.environ))  # noqa: TID251 (an edge)
    sys.stderr = cast(TextIO, RedactedStream(sys.stderr, known))  # talk, errors and tracebacks
    cli.main(prog_name="hpo-pipe")


if __name__ == "__main__":
    main()
