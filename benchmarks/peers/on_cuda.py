"""Times this library beside PyTorch (eager, torch.compile) on one CUDA device: same weights, same clips, interleaved rounds.

    on_cuda.py --driver peers_ours_cuda --folder FOLDER [--dtype bf16] [--batches 1 8 32] [--rounds N] [--out TABLE.md]

FOLDER is one that benchmarks/peers/run.sh has made. UNTESTED ON A DEVICE: there was none where this was written.
Every contestant begins with clips in pinned or pageable memory of the host and ends with logits there. Refuses to time
unless all fp32 contestants answer as `zeroi2v logits` does, within 1e-4 (relative L2); for other formats it reports the distance.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

from contestant import Contestant

LIMIT = 1e-4  # relative L2 of the logits, fp32
here = Path(__file__).parent


def batched(network):
    """The VideoViT of model.py for clips (B,T,3,S,S) -> logits (B,K)."""
    import torch

    import model

    one_clip = model.shift

    class Batched(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, clips):
            count, frames = clips.shape[:2]
            model.shift = lambda x, offsets: torch.cat([one_clip(part, offsets) for part in x.split(frames)])
            b = self.network.backbone
            x = b.conv1(clips.flatten(0, 1)).flatten(2).transpose(1, 2)
            x = torch.cat([b.class_embedding.expand(x.shape[0], 1, -1), x], 1) + b.positional_embedding
            x = b.ln_pre(x + b.temporal_embedding[0].repeat(count, 1)[:, None])
            for block in b.transformer.resblocks:
                x = block(x)
            feature = b.ln_post(x[:, 0]).unflatten(0, (count, frames)).mean(1)
            return self.network.cls_head.fc_cls(feature)

    return Batched()


def work(kind, model_path, clip_path, dtype, batch, device="cuda"):
    """One PyTorch contestant: a JSON object when it is warm, seconds per line read, at the end bytes on the device."""
    import torch
    from safetensors.torch import load_file

    import model

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    element = {"bf16": torch.bfloat16, "f16": torch.float16}.get(dtype, torch.float32)
    network = batched(model.load(model_path).eval().requires_grad_(False)).to(device, element)
    if kind == "compile":
        network = torch.compile(network, mode="max-autotune" if device == "cuda" else "default")
    clips = load_file(clip_path)["clip"][:1].repeat(batch, 1, 1, 1, 1)
    if device == "cuda":
        clips = clips.pin_memory()

    def once():
        with torch.inference_mode():
            return network(clips.to(device, non_blocking=True).to(element)).float().cpu()

    for _ in range(4):
        logits = once()
    name = torch.cuda.get_device_name() if device == "cuda" else device
    print(json.dumps({"device": name, "version": torch.__version__, "logits": logits[0].tolist()}), flush=True)
    for _ in sys.stdin:
        before = time.perf_counter()
        once()
        print(repr(time.perf_counter() - before), flush=True)
    print(torch.cuda.max_memory_allocated() if device == "cuda" else 0)


def distance(found, wanted):
    square = sum((f - w) ** 2 for f, w in zip(found, wanted, strict=True))
    return (square / sum(w * w for w in wanted)) ** 0.5


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--driver", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--dtype", choices=("f32", "bf16", "f16"), default="bf16")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--device", default="cuda", help="of PyTorch: cpu tries the script without a device, with --driver true")
    parser.add_argument("--out", type=Path)
    a = parser.parse_args()

    from safetensors.numpy import load_file

    adapted, merged, clip = (a.folder / f"{n}.safetensors" for n in ("adapted", "merged", "clip"))
    wanted = load_file(a.folder / "logits.safetensors")["logits"][0].astype(float).tolist()
    lines = []
    for batch in a.batches:
        ours = lambda variant: [a.driver, adapted if variant == "adapted" else merged, clip, variant, a.dtype, batch]
        peer = lambda kind, path: [sys.executable, __file__, "--worker", kind, path, clip, a.dtype, batch, a.device]
        plan = [(f"PyTorch {v}", peer("eager", p), True) for v, p in (("adapted", adapted), ("merged", merged))]
        plan += [("torch.compile merged", peer("compile", merged), True)]
        if a.device == "cuda":
            plan = [(f"zeroi2v {v}", ours(v), v != "plain") for v in ("plain", "adapted", "merged")] + plan
        contestants = []
        for name, command, comparable in plan:
            print(f"batch {batch}: {name} loads", file=sys.stderr, flush=True)
            c = Contestant(name, command)
            c.loss = distance(c.about["logits"], wanted) if comparable else None
            contestants.append(c)
        if a.dtype == "f32" and any(c.loss is not None and not c.loss <= LIMIT for c in contestants):
            sys.exit(f"not timed: a contestant does not answer as zeroi2v does (more than {LIMIT:g}): "
                     + ", ".join(f"{c.name} {c.loss:.1e}" for c in contestants if c.loss is not None))
        for r in range(a.rounds):
            for c in contestants if r % 2 == 0 else reversed(contestants):
                c.once()
        for c in contestants:
            c.end()
        base = min(contestants[2 if a.device == "cuda" else 1].seconds)
        if not lines:
            lines = [f"{contestants[0].about['device']}, {a.dtype}, PyTorch {contestants[-1].about['version']}, {a.rounds} interleaved rounds.", "",
                     "| batch | | best ms | median ms | / ours merged, best | clips/s | device MB | logits differ by |", "|---|---|---|---|---|---|---|---|"]
        for c in contestants:
            best, middle = min(c.seconds), statistics.median(c.seconds)
            lines.append(f"| {batch} | {c.name} | {best * 1e3:.3f} | {middle * 1e3:.3f} | {best / base:.2f} | {batch / best:.1f} | {c.peak / 1e6:.0f} | "
                         + (f"{c.loss:.1e} |" if c.loss is not None else "- |"))
    text = "\n".join(lines) + "\n"
    print(text, end="")
    if a.out:
        a.out.write_text(text)


if len(sys.argv) > 1 and sys.argv[1] == "--worker":
    work(*sys.argv[2:6], int(sys.argv[6]), sys.argv[7])
else:
    main()
