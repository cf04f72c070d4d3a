"""One training step (adapters, temporal embedding, ln_post, head; batch 1, AdamW, no dropout) of PyTorch eager beside
`zeroi2v train`, in turn: in each round a run of a few steps of ours, the same number of steps of PyTorch, in alternating order.

    train.py --program zeroi2v --folder FOLDER --rounds N --threads N --out train.json --table train.md

FOLDER is one that run.sh made. Refuses to compare unless the losses of the steps agree within 1e-4 (relative).
The first step of every run is left out on both sides: it allocates.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

STEPS = 3
LABEL = 3


def serve(model_path, data_path, threads):
    """PyTorch's side: per line read, STEPS steps from the start; prints their losses and seconds; at the end VmHWM in bytes."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    import torch
    from safetensors.torch import load_file

    import model

    torch.set_num_threads(threads)
    clip = load_file(data_path)["clips"][0]
    label = torch.tensor([LABEL])
    network = model.load(model_path)
    decayed, free = [], []
    for name, parameter in network.named_parameters():
        trains = "Adapter" in name or "temporal_embedding" in name or "ln_post" in name or "cls_head" in name
        parameter.requires_grad_(trains)
        if trains:
            (free if "temporal_embedding" in name or "ln_post" in name else decayed).append(parameter)
    start = [p.detach().clone() for p in decayed + free]
    print(json.dumps({"version": torch.__version__}), flush=True)
    for _ in sys.stdin:
        with torch.no_grad():
            for parameter, value in zip(decayed + free, start):
                parameter.copy_(value)
        optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.05}, {"params": free, "weight_decay": 0.0}], lr=1e-3)
        losses, seconds = [], []
        for _ in range(STEPS):
            before = time.perf_counter()
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(network(clip)[None], label)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            seconds.append(time.perf_counter() - before)
        print(json.dumps({"losses": losses, "seconds": seconds}), flush=True)
    with open("/proc/self/status") as status:
        print(next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:")))


def ours(a, data):
    out, log = a.folder / "trained.safetensors", a.folder / "train.jsonl"
    for old in a.folder.glob("trained.safetensors*"):
        old.unlink()
    log.unlink(missing_ok=True)
    process = subprocess.Popen([str(v) for v in (
        a.program, "train", a.folder / "adapted.safetensors", data, "-o", out, "--steps", STEPS, "--batch", 1, "--order", "given",
        "--schedule", "constant", "--lr", "1e-3", "--weight-decay", "0.05", "--label-smoothing", 0, "--adapter-dropout", 0,
        "--head-dropout", 0, "--augment", "none", "--threads", a.threads, "--log", log, "--quiet")], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"zeroi2v train: status {status}")
    steps = [entry for entry in map(json.loads, log.read_text().splitlines()) if "step" in entry and "loss" in entry]
    return {"losses": [s["loss"] for s in steps], "seconds": [s["seconds"] for s in steps]}, usage.ru_maxrss * 1024


def main():
    parser = argparse.ArgumentParser()
    for name in ("--program", "--folder", "--out", "--table"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    a = parser.parse_args()
    import numpy
    from safetensors.numpy import load_file, save_file

    data = a.folder / "train_data.safetensors"
    save_file({"clips": load_file(a.folder / "clip.safetensors")["clip"], "labels": numpy.array([LABEL])}, data)
    torch_side = subprocess.Popen([sys.executable, __file__, "serve", a.folder / "adapted.safetensors", data, str(a.threads)],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    version = json.loads(torch_side.stdout.readline())["version"]
    seconds, peak = {"zeroi2v": [], "PyTorch": []}, {"zeroi2v": 0, "PyTorch": 0}
    for r in range(a.rounds):
        results = {}
        for who in ("zeroi2v", "PyTorch") if r % 2 == 0 else ("PyTorch", "zeroi2v"):
            if who == "zeroi2v":
                results[who], used = ours(a, data)
                peak[who] = max(peak[who], used)
            else:
                torch_side.stdin.write("\n")
                torch_side.stdin.flush()
                results[who] = json.loads(torch_side.stdout.readline())
            seconds[who].append(results[who]["seconds"][1:])
        off = max(abs(x - y) / abs(y) for x, y in zip(results["zeroi2v"]["losses"], results["PyTorch"]["losses"], strict=True))
        print(f"round {r + 1} of {a.rounds}: losses differ by {off:.1e}", file=sys.stderr, flush=True)
        if not off <= 1e-4:
            sys.exit(f"the losses differ: {results}")
    torch_side.stdin.close()
    peak["PyTorch"] = int(torch_side.stdout.read())
    a.out.write_text(json.dumps({"seconds": seconds, "peak_bytes": peak, "version": version, "threads": a.threads}, indent=1) + "\n")

    flat = {who: [s for part in parts for s in part] for who, parts in seconds.items()}
    ratio = statistics.median(sum(p) / sum(z) for p, z in zip(seconds["PyTorch"], seconds["zeroi2v"]))
    text = "| one training step | best s | median s | peak MB |\n|---|---|---|---|\n"
    for who, title in (("zeroi2v", "zeroi2v train"), ("PyTorch", f"PyTorch {version}, eager")):
        text += f"| {title} | {min(flat[who]):.2f} | {statistics.median(flat[who]):.2f} | {round(peak[who] / 1e6)} |\n"
    text += f"\nPyTorch / ours: {min(flat['PyTorch']) / min(flat['zeroi2v']):.2f} by bests, {ratio:.2f} by the median of {a.rounds} rounds.\n"
    a.table.write_text(text)
    print(text)


if sys.argv[1:2] == ["serve"]:
    serve(sys.argv[2], sys.argv[3], int(sys.argv[4]))
else:
    main()
