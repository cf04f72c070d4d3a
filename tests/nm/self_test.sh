#!/bin/bash
# self_test.sh COMPILER FOLDER: the check of weak symbols passes sound objects and fails on each violation.
set -u
check=$(cd "$(dirname "$0")" && pwd)/check.sh
compiler=${1:?usage: self_test.sh COMPILER FOLDER}
work=${2:?usage: self_test.sh COMPILER FOLDER}
mkdir -p "$work" && cd "$work" || exit 2
failures=0

object() { # object NAME CODE
    printf 'namespace zeroi2v::arch { struct sse2 {}; struct avx2 {}; }\n%s\n' "$2" > "$1.cpp"
    "$compiler" -std=c++20 -O0 -c "$1.cpp" -o "$1.cpp.o" || exit 2
}
expect() { # expect STATUS TEXT FILE...
    local status=$1 text=$2 out got
    shift 2
    out=$(bash "$check" "$@" 2>&1)
    got=$?
    if [ $got -ne "$status" ] || [[ "$out" != *"$text"* ]]; then
        echo "self test: expected status $status and \"$text\", got $got and: $out"
        failures=$((failures + 1))
    fi
}

object kernels_sse2 'template <class A> void f() {} void table_sse2() { f<zeroi2v::arch::sse2>(); }'
object kernels_avx2 'template <class A> void f() {} void table_avx2() { f<zeroi2v::arch::avx2>(); }'
expect 0 "2 objects, 2 weak symbols" kernels_sse2.cpp.o kernels_avx2.cpp.o
rm -f lib.a && ar rc lib.a kernels_sse2.cpp.o kernels_avx2.cpp.o && expect 0 "2 objects, 2 weak symbols" lib.a
object kernels_avx2 'inline int g() { return 1; } int table_avx2() { return g(); }'
expect 1 "without an arch tag: kernels_avx2.cpp.o" kernels_sse2.cpp.o kernels_avx2.cpp.o
object kernels_avx2 'template <class A> void f() {} void table_avx2() { f<zeroi2v::arch::sse2>(); }'
expect 1 "weak symbol in two objects" kernels_sse2.cpp.o kernels_avx2.cpp.o
object other 'inline int g() { return 1; } int h() { return g(); }'
expect 2 "no kernels_<isa>.cpp object" other.cpp.o

echo "self test of the check of weak symbols: 5 cases, $failures failed"
[ $failures -eq 0 ]
