"""Programs run in this process, as a shell would run them."""

import contextlib
import io
import shlex

from metarl.cli import main


def run_main(main, line, **names):
    """Run a program's command line in this process: exit code, standard output, standard error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(shlex.split(line.format(**names)))
        except SystemExit as stop:
            code = stop.code or 0
    return code, out.getvalue(), err.getvalue()


def metarl(line, **names):
    """Run a command line of `metarl`."""
    return run_main(main, line, **names)
