"""Joins slices of rounds into a Markdown table and an SVG chart. Standard library only.

    report.py SLICES --table TABLE.md --chart CHART.svg
"""

import argparse
import json
import statistics
import sys
from html import escape
from pathlib import Path

OURS = "zeroi2v merged f32"
FASTER = "#2b6cb0", "#90b4d8"  # ours: best, median
OTHERS = "#6b7280", "#c3c8cf"


def joined(folder):
    slices = [json.loads(p.read_text()) for p in sorted(folder.glob("*.json"))]
    if not slices:
        sys.exit(f"{folder}: no slice found")
    for name in ("processor", "threads", "isa", "model", "versions"):
        if any(s[name] != slices[0][name] for s in slices):
            sys.exit(f"{folder}: the slices differ in {name}; run.sh --fresh forgets them")
    all_of = slices[0]
    for s in slices[1:]:
        for mine, other in zip(all_of["contestants"], s["contestants"], strict=True):
            assert mine["name"] == other["name"]
            mine["seconds"] += other["seconds"]
            mine["others"] += other["others"]
            mine["peak_bytes"] = max(mine["peak_bytes"], other["peak_bytes"])
    all_of["slices"], all_of["last"] = len(slices), slices[-1]["date"]
    return all_of


def rows_of(run):
    by_name = {c["name"]: c for c in run["contestants"]}
    ours = by_name[OURS]["seconds"]
    for c in run["contestants"]:
        c["best"], c["median"] = min(c["seconds"]), statistics.median(c["seconds"])
        c["to_best"] = c["best"] / min(ours)
        # Rounds pair what was measured within seconds of each other.
        c["to_median"] = statistics.median(a / b for a, b in zip(c["seconds"], ours))
    return by_name


def describe(run):
    m, rounds = run["model"], len(run["contestants"][0]["seconds"])
    versions = ", ".join(f"{k} {v}" for k, v in sorted(run["versions"].items()))
    model = f"{m['layers']} layers of width {m['width']}, {m['frames']} frames of {m['image_size']}x{m['image_size']}, batch 1, {run['gflop']:.1f} GFLOP"
    return model, (f"{run['processor']}, {run['cores']} cores, {run['threads']} threads, {run['isa']} kernels, g++ {run['gxx']}; {versions}; "
                   f"{rounds} interleaved rounds in {run['slices']} {'slice' if run['slices'] == 1 else 'slices'}, {run['date']} to {run['last']}")


def table(run):
    by_name = rows_of(run)
    limit = by_name["FMA limit"]
    model, setting = describe(run)
    text = f"{model}; {setting}.\n\n"
    text += "| | best s | median s | / ours, best | / ours, median of rounds | of the FMA limit | peak MB | logits differ by |\n|---|---|---|---|---|---|---|---|\n"
    for c in run["contestants"]:
        is_limit = c is limit
        share = f"{limit['best'] / c['best']:.2f}" if c["precision"] == "f32" else "-"
        name = f"**{c['name']}**" if c["name"] == OURS else c["name"]
        loss = "-" if c["loss"] is None or c["name"] == "zeroi2v plain f32" else f"{c['loss']:.1e}"
        text += (f"| {name} | {c['best']:.3f} | {c['median']:.3f} | {c['to_best']:.2f} | {c['to_median']:.2f} | {share} | "
                 f"{'-' if is_limit else round(c['peak_bytes'] / 1e6)} | {loss} |\n")
    peers = [c for c in run["contestants"] if c["precision"] == "f32" and not c["name"].startswith(("zeroi2v", "FMA")) and "plain" not in c["name"]]
    first, middle = min(peers, key=lambda c: c["best"]), min(peers, key=lambda c: c["to_median"])
    others = sorted(o for c in run["contestants"] if c is not limit for o in c["others"])
    text += f"\nOther work on the machine took {statistics.median(others):.0%} of the cores meanwhile (median; at most {others[-1]:.0%}).\n"
    text += (f"\nThe fastest fp32 peer of the video model takes {first['to_best']:.2f} times as long by bests ({first['name']}), "
             f"{middle['to_median']:.2f} times by the median of rounds ({middle['name']}).\n")
    return text


def chart(run):
    by_name = rows_of(run)
    shown = [c for c in run["contestants"] if c["name"] != "FMA limit"]
    limit = by_name["FMA limit"]["best"]
    left, width, row, top = 190, 400, 20, 52
    longest = max(c["median"] for c in shown)
    x = lambda seconds: left + seconds / longest * width
    height = top + row * len(shown) + 30
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 110}" height="{height}" font-family="sans-serif" font-size="12">',
           f'<rect width="100%" height="100%" fill="#ffffff"/>',
           f'<text x="10" y="20" font-size="14">Seconds per clip, {run["threads"]} threads, {escape(run["isa"])}: best (dark), median (light)</text>',
           f'<text x="10" y="38" fill="#555555">{escape(describe(run)[0])}</text>']
    for i, c in enumerate(shown):
        y = top + row * i
        best, median = FASTER if c["name"].startswith("zeroi2v") else OTHERS
        out += [f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{escape(c["name"])}</text>',
                f'<rect x="{left}" y="{y + 3}" width="{x(c["median"]) - left:.1f}" height="13" fill="{median}"/>',
                f'<rect x="{left}" y="{y + 3}" width="{x(c["best"]) - left:.1f}" height="13" fill="{best}"/>',
                f'<text x="{x(c["median"]) + 6:.1f}" y="{y + 13}">{c["best"]:.2f} / {c["median"]:.2f}</text>']
    bottom = top + row * len(shown)
    out += [f'<line x1="{x(limit):.1f}" y1="{top}" x2="{x(limit):.1f}" y2="{bottom + 4}" stroke="#c53030" stroke-dasharray="4 3"/>',
            f'<text x="{x(limit):.1f}" y="{bottom + 18}" text-anchor="middle" fill="#c53030">fp32 FMA limit {limit:.2f} s</text>', "</svg>"]
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("slices", type=Path)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--chart", type=Path, required=True)
    a = parser.parse_args()
    run = joined(a.slices)
    a.table.write_text(table(run))
    a.chart.parent.mkdir(parents=True, exist_ok=True)
    a.chart.write_text(chart(run))


main()
