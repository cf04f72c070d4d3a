#!/bin/bash
# check.sh OBJECT...: what the compiler made of the products' inner loops, per object of the per-ISA sources
# (kernels_<isa>.cpp, compiled with optimisation). For each register tile (f32, and int8 where it has its own) it finds the innermost loop
# of the most whole tiles, the densest of them, and prints
#     object  product  rows x vectors  turns  multiply-adds  instructions per turn and  vector accesses to the stack
# Exits 1 where a whole tile's loop is missing, spills (any vector register to or from the stack), or has not exactly one
# multiply-add per row and vector. Works for g++ and clang++; needs objdump (binutils).
set -u
[ $# -gt 0 ] || { echo "usage: check.sh OBJECT..." >&2; exit 2; }

judge() { # judge OBJECT ISA PRODUCT ROWS VECTORS OPERATION [OPERATIONS PER MULTIPLY-ADD]
    objdump -d --no-show-raw-insn -C "$1" | awk -v isa="$2" -v product="$3" -v rows="$4" -v vectors="$5" -v operation="$6" -v each="${7:-1}" '
        # The densest loop of the function that has just ended.
        function judge_function(   i, j, first, operations, spills, whole, inner) {
            for (i = 1; i <= count; ++i) {
                if (!(i in target) || !(target[i] in at) || at[target[i]] > i) continue
                first = at[target[i]]
                operations = spills = inner = 0
                for (j = first; j < i; ++j)
                    if (j in target && target[j] in at && at[target[j]] >= first && at[target[j]] <= j) inner = 1
                if (inner) continue
                for (j = first; j <= i; ++j) {
                    if (text[j] ~ operation) ++operations
                    if (text[j] ~ /%[xyz]mm/ && text[j] ~ /\(%r[sb]p[),]/) ++spills
                }
                whole = operations % (each * rows * vectors) == 0 # a loop of other work may be denser, but not of whole tiles
                if (operations < each * rows * vectors || whole < best) continue
                if (whole == best && (operations < most || (operations == most && operations / (i - first + 1) <= density))) continue
                best = whole; most = operations
                density = operations / (i - first + 1)
                turns = operations / (each * rows * vectors)
                found = operations / each; instructions = i - first + 1; stack = spills
            }
        }
        /^[0-9a-f]+ </ {
            if (wanted) judge_function()
            count = 0; delete target; delete at; delete text
            wanted = index($0, product "<") && (index($0, " " rows "ul, " vectors "ul>") || index($0, ", " rows "ul, " vectors "ul>"))
            next
        }
        wanted && /^ +[0-9a-f]+:/ {
            address = $1; sub(/:$/, "", address)
            at[address] = ++count; text[count] = $0
            if ($2 ~ /^j/ && $3 ~ /^[0-9a-f]+$/) target[count] = $3
        }
        END {
            if (wanted) judge_function()
            if (!found) { printf "%-12s %-17s %2dx%d  no loop of its multiply-adds\n", isa, product, rows, vectors; exit 1 }
            good = stack == 0 && turns == int(turns)
            printf "%-12s %-17s %2dx%d  %g turns  %3d multiply-adds  %5.1f instructions per turn  %d stack%s\n", isa, product, rows, vectors,
                turns, found, instructions / turns, stack, good ? "" : "   <- not the loop that is meant"
            exit !good
        }'
}

status=0
seen=0
for object in "$@"; do
    isa=$(basename "$object" | sed -n 's/^kernels_\([a-z0-9]*\)\.cpp\.o.*$/\1/p')
    [ -n "$isa" ] || continue
    seen=1
    case $isa in # the tiles of ops/kernels/tuning.hpp
        sse2) judge "$object" $isa f32_product 3 4 'mulps|addps' 2 || status=1 ;;
        avx2)
            judge "$object" $isa f32_product 6 2 'vfmadd[0-9]*ps' || status=1
            judge "$object" $isa s16_product 6 2 'vpmaddwd' || status=1 ;;
        avx512*|amx)
            judge "$object" $isa f32_product 8 3 'vfmadd[0-9]*ps.*zmm' || status=1
            judge "$object" $isa f32_product 12 2 'vfmadd[0-9]*ps.*zmm' || status=1
            case $isa in avx512vnni|avx512bf16) ;; *) continue ;; esac # amx multiplies both by tiles
            judge "$object" $isa vnni_product 8 3 'vpdpbusd' || status=1
            [ $isa != avx512bf16 ] || judge "$object" $isa bf16_dot_product 8 3 'vdpbf16ps' || status=1 ;;
    esac
done
[ $seen = 1 ] || { echo "check.sh: no kernels_<isa>.cpp.o in: $*" >&2; exit 2; }
exit $status
