#!/bin/sh
# check.sh COMPILER SOURCE INCLUDE_DIR [FLAG...]: SOURCE must compile as it stands, and must not compile with
# -DZEROI2V_EXPECT_FAILURE; then the compiler's output must contain the sentence of SOURCE's first line,
# `// expect: SENTENCE`. Exit 0 when both hold.
set -u
[ $# -ge 3 ] || { echo "usage: check.sh COMPILER SOURCE INCLUDE_DIR [FLAG...]"; exit 2; }
compiler=$1
source=$2
include=$3
shift 3

sentence=$(sed -n '1s,^// expect: ,,p' "$source")
[ -n "$sentence" ] || { echo "$source: the first line must read '// expect: SENTENCE'"; exit 2; }
grep -q '^#ifdef ZEROI2V_EXPECT_FAILURE' "$source" || { echo "$source: no #ifdef ZEROI2V_EXPECT_FAILURE"; exit 2; }

eigen=$(pkg-config --cflags-only-I eigen3 2>/dev/null | sed 's/-I/-isystem /g')
compile() {
    # shellcheck disable=SC2086
    LC_ALL=C "$compiler" -std=c++20 -fsyntax-only -fmessage-length=0 -I "$include" ${eigen:--isystem /usr/include/eigen3} \
        "$@" "$source" 2>&1
}

if ! output=$(compile "$@"); then
    echo "$source: its positive twin does not compile:"
    echo "$output"
    exit 1
fi
if output=$(compile "$@" -DZEROI2V_EXPECT_FAILURE); then
    echo "$source: compiles, and should not"
    exit 1
fi
if ! printf '%s\n' "$output" | grep -F -q -- "$sentence"; then
    echo "$source: does not compile, but the compiler's output lacks the sentence '$sentence':"
    echo "$output"
    exit 1
fi
