#!/bin/bash
# faults.sh [--sample N] [PROGRAM]: small runs of merge, classify, train, few-shot and eval with failing allocations: each single
# one, and all from each one on; then the same for threads that cannot be started. No run may end by a signal, with status 1 or
# by hanging, take a lack of memory for damage, lose an input, leave a temporary file, or show an output that is not whole.
# Prints what the runs ended with.
#   --sample N  only N places of each command, evenly spread (a test of the suite runs so)
#   PROGRAM     default build/release/bin/zeroi2v
# Without --sample some 90,000 runs, over an hour on two cores. What is counted apart and no failure, with its reason, stands in
# tests/faults/runner.cpp: crashes inside FFmpeg or glibc.
set -u
source=$(cd "$(dirname "$0")/.." && pwd)
sample=0
if [ "${1:-}" = --sample ]; then
    sample=${2:?usage: faults.sh [--sample N] [PROGRAM]}
    shift 2
fi
program=$(realpath "${1:-$source/build/release/bin/zeroi2v}") || exit 2
[ -x "$program" ] || { echo "faults.sh: $program: no program; build it first" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
jobs=$(nproc)
seconds=120 # of a run of 50 ms: what lasts longer hangs
${CXX:-g++} -std=c++20 -O1 -fPIC -shared "$source/tests/faults/allocator.cpp" -o "$work/allocator.so" -ldl || exit 2
${CXX:-g++} -std=c++20 -O1 "$source/tests/faults/runner.cpp" -o "$work/runner" -pthread || exit 2

data=$source/examples/data/moving_shapes
training=$source/tests/data/training
small="--steps 2 --batch 2 --lr 1e-3 --threads 2"
failed=0
sweep() { # sweep NAME KIND OUTPUT "INPUT..." ARGUMENT...
    local name=$1 kind=$2 output=$3 inputs=$4
    shift 4
    rm -rf "$work/case"
    mkdir -p "$work/case/in"
    cp $inputs "$work/case/in/" || exit 2
    [ "$lists" = no ] || printf '%s\n' "$lists" > "$work/case/in/list.txt"
    echo "$name, $kind:"
    "$work/runner" "$work/allocator.so" "$work/case" "$jobs" "$sample" "$seconds" "$kind" "$output" "$program" "$@" > "$work/said" || failed=1
    while IFS= read -r line; do # frames of the program, by name
        if [[ $line =~ ^(\ +)$(basename "$program")\ \+(0x[0-9a-f]+)$ ]]; then
            line="${BASH_REMATCH[1]}$(addr2line -f -C -e "$program" "${BASH_REMATCH[2]}" | head -n 1 | cut -c -150)"
        fi
        printf '%s\n' "$line"
    done < "$work/said"
}
for kind in memory threads; do
    lists=no
    sweep merge $kind out.safetensors "$data/both.safetensors" merge both.safetensors -o out.safetensors --threads 2
    sweep "train on tensors" $kind out.safetensors "$training/start.safetensors $training/train.safetensors $training/config.json" \
        train start.safetensors train.safetensors -o out.safetensors --config config.json $small --checkpoint-every 1 --val train.safetensors
    sweep few-shot $kind - "$training/start.safetensors $training/train.safetensors $training/config.json" \
        few-shot start.safetensors train.safetensors --config config.json --val train.safetensors --shots 1 --draws 1 --json $small
    sweep classify $kind - "$data/both.safetensors $data/disc_clockwise.mp4" classify both.safetensors disc_clockwise.mp4 --json --threads 2
    lists=$'disc_clockwise.mp4 0\nbar_growing.mp4 1'
    sweep "train on videos" $kind out.safetensors "$data/both.safetensors $data/disc_clockwise.mp4 $data/bar_growing.mp4" \
        train both.safetensors list.txt -o out.safetensors $small --augment k400
    sweep eval $kind - "$data/both.safetensors $data/disc_clockwise.mp4 $data/bar_growing.mp4" eval both.safetensors list.txt --threads 2
done
[ $failed -eq 0 ] && echo "faults.sh: all as they must be"
exit $failed
