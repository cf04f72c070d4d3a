#!/bin/bash
# The main job on data in the repository: read a checkpoint, merge the adapters into the model, classify videos before and
# after. Installs what is missing (Debian packages only) and builds Release first; stops at the first failure with its
# reason, and can be run again.
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

need_packages g++ cmake ninja-build pkg-config libxsimd-dev libeigen3-dev \
    libcli11-dev libavformat-dev libavcodec-dev libswscale-dev libavutil-dev

[ -d build/release ] && first= || first=' (the first time takes minutes)'
echo "1. Building the program$first ..."
[ -f build/release/CMakeCache.txt ] || export CMAKE_GENERATOR=Ninja
quietly demo-configure.log "configuring failed" cmake --preset release -DZEROI2V_UNITY_BUILD=ON
quietly demo-build.log "the build failed" cmake --build --preset release --parallel "$(nproc)" --target zeroi2v_program
program=build/release/bin/zeroi2v

data=examples/data/moving_shapes
checkpoint=$data/both.safetensors
videos=("$data"/disc_clockwise.mp4 "$data"/disc_clockwise_reversed.mp4 "$data"/bar_growing.mp4 "$data"/post_hue_down.mp4)
out=build/demo
rm -rf "$out"
mkdir -p "$out"

cat <<TEXT
2. The checkpoint: $checkpoint
   Trained by this project, on nothing but rendered shapes (docs/moving-shapes.md): 24 classes, shape times motion.
   Its videos were not among those that it learnt from. The second is the first played backwards: the same frames,
   another class, so only a model that reads other frames can be right about both.
TEXT

echo "3. Merging its adapters -> $out/merged.safetensors"
seconds "$program" merge "$checkpoint" -o "$out/merged.safetensors"

echo "4. Before merging: the videos classified by the model with adapters"
seconds "$program" classify "$checkpoint" "${videos[@]}" --labels "$data/labels.txt" --top 2

echo "5. After merging: the videos classified by the merged model, which has no adapters"
seconds "$program" classify "$out/merged.safetensors" "${videos[@]}" --labels "$data/labels.txt" --top 2

echo "6. Right answers, before and after (the truth is in $data/list.txt)"
for model in "$checkpoint" "$out/merged.safetensors"; do "$program" eval "$model" "$data/list.txt" --quiet | sed -n 1,2p; done

echo "7. The largest difference of the two models' logits over the same clip"
"$program" preprocess "${videos[0]}" -o "$out/clips.safetensors" --config "$data/config.json" --quiet \
    --sampling dense --interval 1 --clips 1 --crops 1 --resize 32 --normalize zeroi2v --average prob
"$program" logits "$checkpoint" "$out/clips.safetensors" -o "$out/before.safetensors" --quiet
"$program" logits "$out/merged.safetensors" "$out/clips.safetensors" -o "$out/after.safetensors" --quiet
"$program" compare "$out/before.safetensors" "$out/after.safetensors"

pth=tests/data/b16_short/adapted.pth
config="--config tests/data/b16_short/config.json"
dense="--sampling dense --interval 16 --clips 3 --crops 1 --resize 32 --normalize zeroi2v --average prob"
cat <<TEXT
8. The same with a checkpoint in the layout of the official code, $pth, and a filmed video
   Its weights are RANDOM: a small untrained model made for tests. These answers show that the machinery works, not
   what is in the video. A .pth says neither the heads' map nor the adapters' scale, so a configuration does.
TEXT
# shellcheck disable=SC2086
seconds "$program" merge "$pth" -o "$out/pth_merged.safetensors" $config
# shellcheck disable=SC2086
seconds "$program" classify "$pth" examples/data/demo.mp4 $config $dense --top 2
# shellcheck disable=SC2086
seconds "$program" classify "$out/pth_merged.safetensors" examples/data/demo.mp4 $dense --top 2
# shellcheck disable=SC2086
"$program" preprocess examples/data/demo.mp4 -o "$out/clips.safetensors" $config $dense --quiet
# shellcheck disable=SC2086
"$program" logits "$pth" "$out/clips.safetensors" -o "$out/before.safetensors" $config --quiet
"$program" logits "$out/pth_merged.safetensors" "$out/clips.safetensors" -o "$out/after.safetensors" --quiet
"$program" compare "$out/before.safetensors" "$out/after.safetensors"
