"""Runs commands of imagegate in one process, which loads TFX once: one JSON object per line, in and out.

A request has `arguments`, those of `imagegate`, or `shell`, a command of the shell; the answer has the exit code and
what was printed.
"""

import json
import os
import subprocess
import sys


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    from pipeline import cli

    for line in sys.stdin:
        request = json.loads(line)
        with os.fdopen(os.memfd_create("printed"), "w+b") as out:  # on no disk, which a test may break
            for descriptor in (1, 2):
                os.dup2(out.fileno(), descriptor)
            try:
                if "shell" in request:
                    code = subprocess.run(request["shell"], shell=True, check=False).returncode  # noqa: S602  the test's own
                else:
                    code = cli.main(request["arguments"])
            except SystemExit as error:
                code = error.code
            except BaseException as error:  # noqa: BLE001  the test names it
                code = f"{type(error).__name__}: {error}"
            sys.stdout.flush()
            sys.stderr.flush()
            out.seek(0)
            printed = out.read().decode(errors="backslashreplace")
        print(json.dumps({"code": code, "printed": printed}), file=answers, flush=True)


if __name__ == "__main__":
    main()
