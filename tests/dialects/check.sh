#!/bin/bash
# check.sh COMPILER SOURCE INCLUDE_DIR WORK_DIR: the instructions that the library writes out itself give the same machine code for an assembler of
# AT&T's dialect and for one of Intel's (-masm=intel). Needs objdump (binutils), no processor that has them.
set -euo pipefail
[ $# -eq 4 ] || { echo "usage: check.sh COMPILER SOURCE INCLUDE_DIR WORK_DIR" >&2; exit 2; }
compiler=$1
source=$2
include=$3
work=$4
mkdir -p "$work"

flags=(-std=c++20 -O1 -march=x86-64 -mavx2 -mfma -mavx512f -mavx512cd -mavx512dq -mavx512bw -mavx512vl -mavx512vnni -mavx512bf16
    -mamx-tile -mamx-bf16 -mamx-int8)
for dialect in att intel; do
    "$compiler" "${flags[@]}" -masm=$dialect -I "$include" -c "$source" -o "$work/$dialect.o" \
        || { echo "check.sh: $compiler does not compile $source with -masm=$dialect"; exit 1; }
    objdump -d --no-show-raw-insn "$work/$dialect.o" | grep -E '^ +[0-9a-f]+:' > "$work/$dialect.s"
done
diff "$work/att.s" "$work/intel.s" > "$work/difference" || { echo "check.sh: $compiler: other instructions with -masm=intel:"; head -n 20 "$work/difference"; exit 1; }
for written in vfmadd231ps vpdpbusd vbroadcastss vpbroadcastd prefetcht1 vpaddd tileloadd tdpbssd; do # the comparison compared something
    grep -qw "$written" "$work/att.s" || { echo "check.sh: $compiler made no $written of $source"; exit 1; }
done
echo "$compiler: $(wc -l < "$work/att.s") instructions, the same in both dialects"
