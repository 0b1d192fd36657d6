"""sigstore-python's command line, many times in one process: commands.py < COMMANDS

A command is a line of JSON, its words; its answer is a line, [exit code, what it said].
"""

import io
import json
import sys
import traceback

# The package keeps the stream that it finds while it is loaded.
said = io.StringIO()
answers, sys.stdout, sys.stderr = sys.stdout, said, said

from sigstore._cli import main  # noqa: E402


def code_of(words: list[str]) -> object:
    try:
        main(words)
    except SystemExit as end:
        return end.code or 0
    except BaseException:  # noqa: BLE001 - a crash is no refusal, and is told apart
        said.write(traceback.format_exc())
        return "crash"
    return 0


for line in sys.stdin:
    said.seek(0)
    said.truncate()
    code = code_of(json.loads(line))
    print(json.dumps([code, said.getvalue()]), file=answers, flush=True)
