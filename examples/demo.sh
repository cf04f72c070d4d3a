#!/bin/bash
# The main job on data in the repository: read a video and a checkpoint, merge the adapters into the model, classify the
# video before and after. Installs what is missing (Debian packages only) and builds Release first; stops at the first
# failure with its reason, and can be run again.
set -euo pipefail
cd "$(dirname "$0")/.."
. cmake/need_packages.sh

fail() {
    echo "examples/demo.sh: $1" >&2
    exit 1
}
quietly() { # quietly LOG REASON COMMAND...
    local log=build/$1 reason=$2
    shift 2
    mkdir -p build
    "$@" > "$log" 2>&1 && return 0
    tail -n 30 "$log" >&2
    fail "$reason (whole log: $log)"
}
seconds() { # seconds COMMAND...: runs it, then prints how long it took
    local before after
    before=$(date +%s%N)
    "$@"
    after=$(date +%s%N)
    printf '   (%d.%02d s)\n' $(((after - before) / 1000000000)) $(((after - before) / 10000000 % 100))
}

need_packages g++ cmake ninja-build pkg-config libxsimd-dev libeigen3-dev nlohmann-json3-dev \
    libcli11-dev libavformat-dev libavcodec-dev libswscale-dev libavutil-dev

[ -d build/release ] && first= || first=' (the first time takes minutes)'
echo "1. Building the program$first ..."
[ -f build/release/CMakeCache.txt ] || export CMAKE_GENERATOR=Ninja
quietly demo-configure.log "configuring failed" cmake --preset release -DZEROI2V_UNITY_BUILD=ON
quietly demo-build.log "the build failed" cmake --build --preset release --parallel "$(nproc)" --target zeroi2v_program
program=build/release/bin/zeroi2v

video=examples/data/demo.mp4
checkpoint=tests/data/b16_short/adapted.pth
model="--config tests/data/b16_short/config.json"
input="--sampling dense --interval 16 --clips 3 --crops 1 --resize 32 --normalize zeroi2v --average prob"
out=build/demo
rm -rf "$out"
mkdir -p "$out"

cat <<TEXT
2. The checkpoint: $checkpoint, in the layout of the official code.
   Its weights are RANDOM: a small untrained model made for tests. The answers below show that the
   machinery works, not what is in the video.
TEXT

echo "3. Merging its adapters -> $out/merged.safetensors"
# shellcheck disable=SC2086
seconds "$program" merge "$checkpoint" -o "$out/merged.safetensors" $model

echo "4. Before merging: $video classified by the model with adapters"
# shellcheck disable=SC2086
seconds "$program" classify "$checkpoint" "$video" $model $input --top 3

echo "5. After merging: $video classified by the merged model, which has no adapters"
# shellcheck disable=SC2086
seconds "$program" classify "$out/merged.safetensors" "$video" $input --top 3

echo "6. The largest difference of the two models' logits over the same clips"
# shellcheck disable=SC2086
"$program" preprocess "$video" -o "$out/clips.safetensors" $model $input --quiet
# shellcheck disable=SC2086
"$program" logits "$checkpoint" "$out/clips.safetensors" -o "$out/before.safetensors" $model --quiet
"$program" logits "$out/merged.safetensors" "$out/clips.safetensors" -o "$out/after.safetensors" --quiet
"$program" compare "$out/before.safetensors" "$out/after.safetensors"
