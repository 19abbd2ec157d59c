# SPDX-License-Identifier: Apache-2.0
"""Run a command as one test case of a JUnit file, for what writes none itself.

What the command prints is passed on; of a failure, its last lines go into the file.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from xml.etree import ElementTree

_LAST_LINES = 60
# Colours, and whatever else XML 1.0 can't hold.
_UNPRINTABLE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[^\t\n\x20-\uD7FF\uE000-\uFFFD]")


def main() -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(description="Run a command as one test case of a JUnit file.")
    parser.add_argument("file", type=Path, help="the JUnit file to write")
    parser.add_argument("name", help="the name of the test case")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="the command and its arguments")
    options = parser.parse_args()

    started, last = time.monotonic(), deque[str](maxlen=_LAST_LINES)
    with subprocess.Popen(
        options.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            sys.stdout.write(line)
            last.append(_UNPRINTABLE.sub("", line))
    suite = ElementTree.Element("testsuite", name=options.name)
    seconds = f"{time.monotonic() - started:.3f}"
    case = ElementTree.SubElement(suite, "testcase", name=options.name, time=seconds)
    if process.returncode:
        text = "".join(last)
        # Ansible's word for a task that failed.
        said = [line for line in text.splitlines() if "fatal:" in line or "[ERROR]" in line]
        message = said[-1] if said else f"ended with {process.returncode}"
        ElementTree.SubElement(case, "failure", message=message).text = text
    options.file.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(suite).write(options.file, encoding="utf-8", xml_declaration=True)
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
