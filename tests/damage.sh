#!/bin/bash
# damage.sh PROGRAM [COUNT [SEED]]: COUNT (1000) random damages of a safetensors file and as many of a .pth file, each read
# by `inspect --json` and written again by `convert` or `merge`. Each run must end
#   * with status 0 and nothing on stderr, or with status 3 or 4, one line `zeroi2v: error[CODE]: ...` and nothing on stdout
#   * within 2 s (of three tries), in the address space that the sound file needs and 16 MB more
#   * leaving the input as it was, and no file beside it but the output of a run that ended well.
# A separate command, minutes long: no part of tests/run.sh. The seed makes a run repeatable.
set -u
program=${1:?usage: damage.sh PROGRAM [COUNT [SEED]]}
count=${2:-1000}
seed=${3:-20240607}
data=$(cd "$(dirname "$0")" && pwd)/data/formats
program=$(realpath "$program")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/in"
cd "$work/in" || exit 2
RANDOM=$seed

below() { # below N: a random number in [0, N) in $r; N < 2^30
    r=$(((RANDOM << 15 | RANDOM) % $1))
}
place() { # place SIZE: a random place in $at, three of four times where the structure of the file is
    if [ $((RANDOM % 4)) -eq 0 ]; then below "$1"; at=$r
    elif [ "$kind" = safetensors ]; then below $(($1 < header ? $1 : header)); at=$r
    elif [ $((RANDOM % 2)) -eq 0 ]; then below $(($1 < 8000 ? $1 : 8000)); at=$(($1 - 1 - r))
    else below $(($1 < 8000 ? $1 : 8000)); at=$r
    fi
}
random_bytes() { # random_bytes N: half the time of printable ones, which get past the test for UTF-8
    local i text= least=0 most=255
    [ $((RANDOM % 2)) -eq 0 ] || { least=32; most=126; }
    for ((i = 0; i < $1; ++i)); do printf -v text '%s\\x%02x' "$text" $((least + RANDOM % (most - least + 1))); done
    printf '%b' "$text"
}
damage() { # damage SOURCE: writes the damaged file
    local size from to n
    size=$(stat -c %s "$1")
    how=$((RANDOM % 4))
    case $how in
    0) # truncated
        below "$size"
        head -c "$r" "$1" > damaged ;;
    1) # one to eight bytes changed
        cp "$1" damaged
        for ((n = RANDOM % 2 * (RANDOM % 8); n >= 0; --n)); do
            place "$size"
            random_bytes 1 | dd of=damaged bs=1 seek=$at conv=notrunc status=none
        done ;;
    2) # two blocks of 1 to 512 bytes swapped
        cp "$1" damaged
        n=$((1 + RANDOM % 512))
        place $((size - n)); from=$at
        place $((size - n)); to=$at
        dd if="$1" of=damaged iflag=skip_bytes,count_bytes oflag=seek_bytes skip=$from seek=$to count=$n conv=notrunc status=none
        dd if="$1" of=damaged iflag=skip_bytes,count_bytes oflag=seek_bytes skip=$to seek=$from count=$n conv=notrunc status=none ;;
    3) # grown by 1 to 64 bytes, at the end or inside
        at=$size
        [ $((RANDOM % 2)) -eq 0 ] || place "$size"
        { head -c "$at" "$1"; random_bytes $((1 + RANDOM % 64)); tail -c +$((at + 1)) "$1"; } > damaged ;;
    esac
}
run() { # run LIMIT_KB WORD...: status, seconds in $status, $milliseconds
    local limit=$1 begin
    shift
    begin=${EPOCHREALTIME/./}
    (ulimit -v "$limit" -c 0; exec timeout -s KILL 10 "$program" "$@") > "$work/out" 2> "$work/err"
    status=$?
    milliseconds=$(((${EPOCHREALTIME/./} - begin) / 1000))
}
enough_memory() { # enough_memory WORD...: KB of address space in which this ends well, to 1 MB, and 16 MB more, in $limit
    local low=1 high=4096 middle # MB
    while [ $low -lt $high ]; do
        middle=$(((low + high) / 2))
        rm -f out.safetensors
        run $((middle * 1024)) "$@"
        if [ $status -eq 0 ]; then high=$middle; else low=$((middle + 1)); fi
    done
    rm -f out.safetensors
    limit=$(((low + 16) * 1024))
    [ $low -lt 4096 ]
}
runs=0
errors=0
faults=0
slowest=0
declare -A codes=()
judge() { # judge WORD...: runs and judges
    local reason= try
    for try in 1 2 3; do # a machine that is busy elsewhere may stop a run for seconds: over 2 s counts if it does so again
        run "$limit" "$@"
        [ $milliseconds -ge 2000 ] || break
        find . -mindepth 1 ! -name damaged -delete
    done 2> /dev/null
    runs=$((runs + 1))
    [ $milliseconds -le $slowest ] || slowest=$milliseconds
    case $status in
    0) [ ! -s "$work/err" ] || reason="words on stderr of a run that ended well" ;;
    3 | 4)
        errors=$((errors + 1))
        local line pattern='^zeroi2v: error\[([a-z_0-9]+)\]: .'
        line=$(head -c 20000 "$work/err" | tr -d '\0')
        if [ "$(wc -l < "$work/err")" -ne 1 ] || ! [[ "$line" =~ $pattern ]]; then reason="no typed line"
        else
            codes[${BASH_REMATCH[1]}]=$((${codes[${BASH_REMATCH[1]}]:-0} + 1))
            [ ! -s "$work/out" ] || reason="words on stdout of a run that failed"
        fi ;;
    *) reason="status $status" ;;
    esac
    [ $milliseconds -lt 2000 ] || reason="$milliseconds ms"
    cmp -s damaged "$work/copy" || reason="the input was changed"
    [ $status -ne 0 ] || [ "$1" = inspect ] || rm out.safetensors || reason="no output"
    local left
    left=$(ls -A)
    [ "$left" = damaged ] || reason="left behind: $left"
    [ -n "$reason" ] || return 0
    faults=$((faults + 1))
    echo "damage $number of the $kind file (way $how), $1: $reason; $(head -c 300 "$work/err")"
    cp damaged "/tmp/zeroi2v-damage-$number.$kind" && echo "  kept as /tmp/zeroi2v-damage-$number.$kind"
    find . -mindepth 1 ! -name damaged -delete
}

for source in "$data/expected_f16.safetensors" "$data/half.pth"; do
    kind=${source##*.}
    header=$((8 + $(od -An -N 8 -t u8 "$source")))
    for writer in "convert" "merge --threads 1"; do
        # shellcheck disable=SC2086
        enough_memory $writer "$source" -o out.safetensors --config "$data/config.json" || { echo "$writer fails on the sound $kind file: $(cat "$work/err")"; exit 1; }
        for ((number = 1; number <= count; ++number)); do
            [ $((number % 2)) -eq $([ "$writer" = convert ] && echo 0 || echo 1) ] || continue
            damage "$source"
            cp damaged "$work/copy"
            judge inspect damaged --json
            # shellcheck disable=SC2086
            judge $writer damaged -o out.safetensors --config "$data/config.json"
        done
        rm -f damaged
        echo "$kind, $writer: at most $((limit / 1024)) MB of address space"
    done
done
for code in "${!codes[@]}"; do echo "${codes[$code]} $code"; done | sort -rn
echo "$((2 * count)) damages, $runs runs: $errors typed errors, $faults faults; the longest took $slowest ms"
[ $faults -eq 0 ] && [ $runs -eq $((4 * count)) ] && [ $((errors * 3)) -gt $runs ]
