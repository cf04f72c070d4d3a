#!/bin/bash
# Times this library beside PyTorch (eager, torch.compile), ONNX Runtime and OpenVINO: the same weights, the same clip, the
# same number of threads, interleaved rounds. Writes build/peers/slices/*.json, build/peers/table.md and docs/images/peers.svg.
#   bash benchmarks/peers/run.sh [--rounds N] [--threads N] [--preset NAME | --config FILE.json] [--fresh]
# Each run adds a slice of rounds to those measured before on the same machine and model; --fresh forgets them.
# Makes a virtual environment with pip in build/peers/venv the first time (about 6 GB: PyTorch's wheel brings CUDA).
# ZEROI2V_BUILD=FOLDER: another build than build/release. PEERS_PYTHON=PATH: an environment that has the packages.
set -euo pipefail
cd "$(dirname "$0")/../.."

rounds=7 threads=2 model=(--preset clip-b16-k400-8f) fresh=no
while [ $# -gt 0 ]; do
    case "$1" in
        --rounds) rounds=$2 && shift 2 ;;
        --threads) threads=$2 && shift 2 ;;
        --preset | --config) model=("$1" "$2") && shift 2 ;;
        --fresh) fresh=yes && shift ;;
        *) echo "usage: bash benchmarks/peers/run.sh [--rounds N] [--threads N] [--preset NAME | --config FILE] [--fresh]" >&2 && exit 2 ;;
    esac
done

build=${ZEROI2V_BUILD:-build/release}
if [ -z "${ZEROI2V_BUILD:-}" ]; then
    [ -f build/release/CMakeCache.txt ] || cmake --preset release
    cmake --build build/release --parallel "$(nproc)" --target zeroi2v_program peers_ours
fi
program=$build/bin/zeroi2v
driver=$build/bin/peers_ours

python=${PEERS_PYTHON:-build/peers/venv/bin/python}
if [ -z "${PEERS_PYTHON:-}" ] && [ ! -e build/peers/venv/ready ]; then
    python3 -m venv build/peers/venv
    build/peers/venv/bin/pip install --quiet -r benchmarks/peers/requirements.txt
    touch build/peers/venv/ready
fi

# One folder per model; init draws the same bits every time.
key=$(printf '%s ' "${model[@]}" | cat - <(case "${model[0]}" in --config) cat "${model[1]}" ;; esac) benchmarks/peers/{model,prepare}.py | cksum | cut -d' ' -f1)
folder=build/peers/model-$key
slices=build/peers/slices
if [ ! -e "$folder/ready" ]; then
    mkdir -p "$folder"
    "$program" init "${model[@]}" --seed 1 --adapters random -o "$folder/adapted.safetensors"
    "$program" merge "$folder/adapted.safetensors" -o "$folder/merged.safetensors" --threads "$threads" > "$folder/merge.txt"
    "$python" benchmarks/peers/prepare.py "$folder/merged.safetensors" "$folder"
    touch "$folder/ready"
fi
"$program" logits "$folder/adapted.safetensors" "$folder/clip.safetensors" -o "$folder/logits.safetensors" --threads "$threads"
[ "$fresh" = no ] || rm -rf "$slices"

export TORCHINDUCTOR_CACHE_DIR=$PWD/build/peers/inductor
"$python" benchmarks/peers/measure.py --driver "$driver" --folder "$folder" --rounds "$rounds" --threads "$threads" \
    --out "$slices/$(date -u +%Y%m%dT%H%M%S).json"
"$python" benchmarks/peers/report.py "$slices" --table build/peers/table.md --chart docs/images/peers.svg
cat build/peers/table.md
