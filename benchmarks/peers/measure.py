"""Times all contestants in interleaved rounds: one process each, all loaded and warm, one of them working at a time.

    measure.py --driver peers_ours --folder FOLDER --rounds N --threads N --out SLICE.json

Refuses to time unless every fp32 contestant answers as `zeroi2v logits` does, within 1e-4 (relative L2).
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import numpy
from safetensors.numpy import load_file

from contestant import Contestant

LIMIT = 1e-4  # relative L2 of the logits, fp32
here = Path(__file__).parent


def busy_ticks(pid):
    """Clock ticks that all processors and that this process were busy."""
    with open("/proc/stat") as stat:
        user, nice, system, _, _, irq, softirq, steal = map(int, stat.readline().split()[1:9])
    with open(f"/proc/{pid}/stat") as stat:
        mine = stat.read().rpartition(")")[2].split()
    return user + nice + system + irq + softirq + steal, int(mine[11]) + int(mine[12])


class TimedContestant(Contestant):
    """`others`: the share of all processors that went to other processes, or other guests, while this one was timed."""

    def __init__(self, name, command, reference, precision):
        super().__init__(name, command)
        self.reference, self.precision, self.others = reference, precision, []

    def once(self):
        all_before, mine_before = busy_ticks(self.process.pid)
        super().once()
        all_after, mine_after = busy_ticks(self.process.pid)
        available = self.seconds[-1] * os.sysconf("SC_CLK_TCK") * os.cpu_count()
        self.others.append(max(0.0, all_after - all_before - (mine_after - mine_before)) / available)


def processor():
    with open("/proc/cpuinfo") as info:
        found = dict((k.strip(), v.strip()) for k, _, v in (line.partition(":") for line in info) if v)
    return f"{found.get('model name', platform.machine())} (family {found.get('cpu family')}, model {found.get('model')})"


def main():
    parser = argparse.ArgumentParser()
    for name in ("--driver", "--folder", "--out"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    a = parser.parse_args()
    adapted, merged, clip = (a.folder / f"{n}.safetensors" for n in ("adapted", "merged", "clip"))

    ours = lambda variant, kind: [a.driver, adapted if variant == "adapted" else merged, clip, variant, kind, a.threads]
    peer = lambda kind, model: [sys.executable, here / "worker.py", kind, model, clip, a.threads]
    plan = [("FMA limit", ours("limit", "f32"), None, "f32")]
    for kind in ("f32", "bf16", "int8"):
        plan += [(f"zeroi2v {v} {kind}", ours(v, kind), "plain" if v == "plain" else "video", kind) for v in ("plain", "adapted", "merged")]
    plan += [
        ("PyTorch adapted", peer("torch-adapted", adapted), "video", "f32"),
        ("PyTorch merged", peer("torch-merged", merged), "video", "f32"),
        ("PyTorch plain", peer("torch-plain", merged), "plain", "f32"),
        ("torch.compile merged", peer("torch-compile", merged), "video", "f32"),
        ("ONNX Runtime merged", peer("onnxruntime", a.folder / "fp32.onnx"), "video", "f32"),
        ("OpenVINO merged", peer("openvino", a.folder / "fp32.onnx"), "video", "f32"),
        ("ONNX Runtime merged int8", peer("onnxruntime", a.folder / "int8.onnx"), "video", "int8"),
    ]

    contestants, refused = [], False
    references = {"video": load_file(a.folder / "logits.safetensors")["logits"][0].astype(float)}  # zeroi2v logits, adapted
    for name, command, reference, precision in plan:
        print(f"{name}: loads", file=sys.stderr, flush=True)
        c = TimedContestant(name, command, reference, precision)
        contestants.append(c)
        if reference is None:
            continue
        mine = numpy.array(c.about["logits"])
        want = references.setdefault(reference, mine)  # plain: the first, which is ours
        c.loss = float(numpy.linalg.norm(mine - want) / numpy.linalg.norm(want))
        c.same_class = bool(mine.argmax() == want.argmax())
        print(f"{name}: logits differ by {c.loss:.2e}", file=sys.stderr, flush=True)
        refused |= precision == "f32" and not c.loss <= LIMIT
    if refused:
        sys.exit(f"not timed: an fp32 contestant does not answer as zeroi2v does (more than {LIMIT:g})")

    for r in range(a.rounds):
        for c in contestants if r % 2 == 0 else reversed(contestants):
            time.sleep(0.05)  # the threads of the one before have gone to sleep
            c.once()
        print(f"round {r + 1} of {a.rounds}", file=sys.stderr, flush=True)
    for c in contestants:
        c.end()

    versions = {c.name.split()[0]: c.about["version"] for c in contestants if "version" in c.about}
    versions["ONNX Runtime"] = versions.pop("ONNX")
    versions["PyTorch"] = versions.pop("torch.compile")
    compiler = subprocess.run(["g++", "-dumpfullversion"], capture_output=True, text=True).stdout.strip()
    document = {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"), "processor": processor(), "cores": os.cpu_count(),
        "threads": a.threads, "isa": contestants[0].about["isa"], "gflop": contestants[0].about["gflop"], "gxx": compiler,
        "versions": versions, "model": json.loads((a.folder / "model.json").read_text()),
        "contestants": [{"name": c.name, "precision": c.precision, "seconds": c.seconds, "others": c.others, "peak_bytes": c.peak,
                         "loss": getattr(c, "loss", None), "same_class": getattr(c, "same_class", None)} for c in contestants],
    }
    a.out.parent.mkdir(parents=True, exist_ok=True)
    a.out.write_text(json.dumps(document, indent=1) + "\n")


main()
