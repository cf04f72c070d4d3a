"""A process that stays loaded and works once for every line that it is sent."""

import json
import subprocess
import sys


class Contestant:
    """Says what it is in one line of JSON, then its seconds for every line, and at the end its peak bytes."""

    def __init__(self, name, command):
        self.name, self.seconds, self.peak = name, [], None
        self.process = subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about = json.loads(self.answer())

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.name}: ended with status {self.process.wait()}")
        return line

    def once(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.seconds.append(float(self.answer()))

    def end(self):
        self.process.stdin.close()
        self.peak = int(self.process.stdout.read())
        self.process.wait()
