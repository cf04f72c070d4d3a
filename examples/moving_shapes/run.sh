#!/bin/bash
# The experiment of docs/moving-shapes.md: makes the data, trains an image model on stills, adapts it to videos in every way of
# variants.txt, judges each by videos that it never saw, merges what has adapters and judges again, and writes tables and a chart.
#   bash examples/moving_shapes/run.sh [--quick] [--seed S] [--only NAME,...] [--out FOLDER] [--jobs N]
# --seed S   other data, other first weights (default 0). Each seed has its own folder in FOLDER; the tables are about all seeds there.
# --quick    3 minutes: every part of it, with too few steps to learn much
# --only     these variants, and `few_shot`
# --out      default build/moving_shapes, with --quick build/moving_shapes_quick
# --jobs     models trained side by side, one thread each (default: the processors)
# What is already there is kept, so a run that was interrupted goes on. BIN in the environment is the folder of the programs; without it
# they are built first.
set -euo pipefail
cd "$(dirname "$0")/../.."

fail() {
    echo "examples/moving_shapes/run.sh: $1" >&2
    exit 1
}

size=full seed=0 only='' out='' jobs=$(nproc)
while [ $# -gt 0 ]; do
    case $1 in
    --quick | --smoke) size=${1#--} ;; # --smoke: seconds, for the tests
    --seed) seed=${2:?--seed needs a number} && shift ;;
    --only) only=${2:?--only needs names} && shift ;;
    --out) out=${2:?--out needs a folder} && shift ;;
    --jobs) jobs=${2:?--jobs needs a number} && shift ;;
    *) fail "$1: unknown; [--quick] [--seed S] [--only NAME,...] [--out FOLDER] [--jobs N] expected" ;;
    esac
    shift
done

# Steps take `batch` clips; a still is a clip of one frame.
case $size in
full) stills=30000 still_steps=900 still_batch=256 clips=9600 steps=1000 batch=32 videos=480 shots=1,2,4,8,16 draws=3 few_steps=250 ;;
quick) stills=4000 still_steps=120 still_batch=256 clips=1200 steps=100 batch=32 videos=96 shots=1,2 draws=2 few_steps=10 ;;
smoke) stills=64 still_steps=2 still_batch=16 clips=48 steps=2 batch=8 videos=48 shots=1 draws=2 few_steps=1 ;;
esac
[ -n "$out" ] || out=build/moving_shapes$([ $size = full ] || echo _$size)
here=$out/seed-$seed
mkdir -p "$here/videos"

if [ -z "${BIN:-}" ]; then
    . cmake/need_packages.sh
    need_packages g++ cmake ninja-build pkg-config libxsimd-dev libeigen3-dev \
        libcli11-dev libavformat-dev libavcodec-dev libswscale-dev libavutil-dev
    [ -f build/release/CMakeCache.txt ] || export CMAKE_GENERATOR=Ninja
    echo "Building the programs ..."
    { cmake --preset release -DZEROI2V_UNITY_BUILD=ON && cmake --build --preset release --parallel "$(nproc)" --target zeroi2v_program moving_shapes; } > "$out/build.log" 2>&1 ||
        fail "the build failed: $out/build.log"
    BIN=build/release/bin
fi
shapes=$BIN/moving_shapes program=$BIN/zeroi2v
variants=examples/moving_shapes/variants.txt
input=(--sampling dense --interval 1 --clips 1 --crops 1 --resize 32 --normalize zeroi2v --average prob)
recipe=(--warmup-epochs 0.5 --head-dropout 0 --adapter-dropout 0 --seed "$seed" --threads 1)

# ---- one thing after the other ------------------------------------------------------------------------------------------------

say() { printf '[%4d s] %s\n' $SECONDS "$1"; }
once() { # once FILE COMMAND...: unless FILE is there; stdout goes to FILE.log
    local file=$1
    shift
    [ -e "$file" ] || "$@" > "$file.log" || fail "$* (its output: $file.log)"
}
video_data() {
    once "$here/clips.safetensors" "$shapes" clips "$here/clips.safetensors" --count "$clips" --seed "$seed"
    once "$here/videos/list.txt" "$shapes" videos "$here/videos" --count "$videos" --seed "$seed"
}
image_model() { # trained whole, on all that a still frame tells
    once "$here/stills.safetensors" "$shapes" stills "$here/stills.safetensors" --count "$stills" --seed "$seed"
    once "$here/other_stills.safetensors" "$shapes" stills "$here/other_stills.safetensors" --count 1000 --seed $((seed + 1000000))
    once "$here/untrained.safetensors" "$shapes" model "$here/untrained.safetensors" --seed "$seed"
    once "$here/image.safetensors" "$program" train "$here/untrained.safetensors" "$here/stills.safetensors" -o "$here/image.safetensors" --resume \
        --trainable all --steps $still_steps --batch $still_batch --lr 2e-3 "${recipe[@]}" --val "$here/other_stills.safetensors" --log "$here/image.jsonl"
}
start_of() { # start_of NAME OFFSETS ADAPTERS
    printf '{"frames":8,"heads":8,"classes":24,"adapter_scale":1,"head_offsets":[%s]}\n' "$2" > "$here/$1.config.json"
    "$program" init "$here/image.safetensors" -o "$here/$1.start.safetensors" --config "$here/$1.config.json" --adapters "$3" --seed "$seed" --quiet
}
judge() { # judge NAME: by the files, and the same as clips, whose logits are kept
    "$program" logits "$here/$1.safetensors" "$here/videos/clips.safetensors" -o "$here/$1.logits.safetensors" --threads 1 --quiet
    "$program" eval "$here/$1.safetensors" "$here/videos/list.txt" --threads 1 --json --quiet > "$here/$1.json.part"
    mv "$here/$1.json.part" "$here/$1.json"
}
variant() { # variant NAME OFFSETS ADAPTERS TRAINABLE FREEZE
    local name=$1 rate=8e-3 longer=1
    [ ! -e "$here/$name.json" ] || return 0
    [ "$4" != all ] || rate=2e-3 longer=2 # more is to be learnt, and at a higher rate less is
    start_of "$name" "$2" "$3"
    "$program" train "$here/$name.start.safetensors" "$here/clips.safetensors" -o "$here/$name.safetensors" --resume --trainable "$4" ${5:+--freeze "$5"} \
        --steps $((longer * steps)) --batch $batch --lr $rate "${recipe[@]}" "${input[@]}" --log "$here/$name.jsonl" > "$here/$name.log"
    if [ "$3" != none ]; then
        "$program" merge "$here/$name.safetensors" -o "$here/$name.merged.safetensors" --quiet
        judge "$name.merged"
    fi
    judge "$name"
    say "$name: $(tail -n 1 "$here/$name.log")"
}
few_shot() {
    [ ! -e "$here/few_shot.json" ] || return 0
    start_of few_shot -1,-1,1,1,0,0,0,0 zero
    "$program" few-shot "$here/few_shot.start.safetensors" "$here/clips.safetensors" --val "$here/videos/list.txt" --shots $shots --draws $draws --steps $few_steps \
        --batch $batch --lr 5e-3 --freeze temporal_embedding "${recipe[@]}" "${input[@]}" --json --quiet > "$here/few_shot.json.part"
    mv "$here/few_shot.json.part" "$here/few_shot.json"
    say few_shot
}

# ---- side by side -------------------------------------------------------------------------------------------------------------

beside() { # beside COMMAND...: as soon as fewer than $jobs run
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n || fail "a part failed; see its log in $here"; done
    "$@" &
}
all_ended() {
    local status
    while true; do
        status=0
        wait -n || status=$?
        [ $status -ne 127 ] || break # none is left
        [ $status -eq 0 ] || fail "a part failed; see its log in $here"
    done
}
wanted() { [ -z "$only" ] || [[ ",$only," == *",$1,"* ]]; }

say "data, and an image model trained on stills: $here"
beside image_model
beside video_data
all_ended
say "$(tail -n 1 "$here/image.safetensors.log")"
if wanted few_shot; then beside few_shot; fi
while IFS='|' read -r _ name offsets adapters trainable freeze _; do
    read -r name offsets adapters trainable freeze <<< "$name $offsets $adapters $trainable $freeze"
    if wanted "$name"; then beside variant "$name" "$offsets" "$adapters" "$trainable" "$freeze"; fi
done < <(grep -v '^#' "$variants")
all_ended
"$shapes" report "$variants" "$out"/seed-* -o "$out/tables.md" --chart "$out/chart.svg"
say "tables: $out/tables.md, chart: $out/chart.svg"
cat "$out/tables.md"
