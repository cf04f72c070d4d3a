#!/bin/bash
# Installs what is missing, builds, and runs the suite; stops at the first failure with its reason.
#   Release with g++, warnings are errors: every test; the unit tests that hold memory or read files run with
#   AddressSanitizer and UndefinedBehaviorSanitizer
# With --all also, for an hour more:
#   AddressSanitizer and UndefinedBehaviorSanitizer, all their checks: every unit test
#   ThreadSanitizer: the tests that run threads
#   clang++: every header alone, warnings are errors
# Logs are kept in build/. CMAKE_CXX_COMPILER_LAUNCHER=ccache in the environment is honoured.
set -euo pipefail
cd "$(dirname "$0")/.."
. cmake/need_packages.sh

all=no
case "$*" in
    "") ;;
    --all) all=yes ;;
    *) echo "usage: bash tests/run.sh [--all]" >&2 && exit 2 ;;
esac

jobs=$(nproc)
started=$SECONDS
allowed_skips=0 # raise it only with the reason beside it

say() { printf '[%3d s] %s\n' $((SECONDS - started)) "$1"; }
fail() {
    echo "tests/run.sh: $1" >&2
    exit 1
}
quietly() { # quietly LOG REASON COMMAND...
    local log=build/$1 reason=$2
    shift 2
    mkdir -p build
    "$@" > "$log" 2>&1 && return 0
    grep -nE 'error|FAILED|Error|\*\*\*' "$log" | head -n 20 >&2 || true
    tail -n 40 "$log" >&2
    fail "$reason (whole log: $log)"
}
run_ctest() { # run_ctest PRESET ARGUMENT...: runs, prints the closing lines, counts cases and skips
    local preset=$1 log=build/$1-test.log
    shift
    quietly "$preset-test.log" "tests failed ($preset)" ctest --preset "$preset" --no-tests=error -j "$jobs" "$@"
    grep -E 'tests passed|Total Test time' "$log"
    local here cases
    here=$(grep -cE '\*\*\*(Skipped|Not Run)' "$log" || true)
    # The tests of the program run one file of cases each, so their other cases count as skipped: only unit tests are asked.
    cases=$(awk '/ Test: /{ unit = / Test: unit_/ } unit && /^\[doctest\] test cases:/ { gsub(/\|/, " "); run += $4; skipped += $9 }
        END { print run + 0, skipped + 0 }' "build/$preset/Testing/Temporary/LastTest.log")
    echo "unit test cases: ${cases% *}; skipped: $here tests, ${cases#* } unit test cases"
    [ "$here" -le "$allowed_skips" ] && [ "${cases#* }" -le "$allowed_skips" ] || fail "more than $allowed_skips skipped ($preset)"
    [ "${cases% *}" -gt 0 ] || fail "no unit test case ran ($preset)"
}

need_packages g++ cmake ninja-build pkg-config clang libclang-rt-14-dev libxsimd-dev libeigen3-dev nlohmann-json3-dev \
    doctest-dev libbenchmark-dev libcli11-dev strace libavformat-dev libavcodec-dev libswscale-dev libavutil-dev

export CMAKE_GENERATOR=Ninja
export CXX=${CXX:-g++}

say "Release build with $CXX"
quietly release-configure.log "configuring failed (release)" cmake --preset release -DZEROI2V_WERROR=ON -DZEROI2V_TEST_SANITIZERS=ON -DZEROI2V_UNITY_BUILD=ON \
    -DZEROI2V_BUILD_TESTS=ON -DZEROI2V_BUILD_EXAMPLES=ON -DZEROI2V_BUILD_BENCHMARKS=ON
if grep -q 'left out' build/release-configure.log; then
    grep 'left out' build/release-configure.log >&2
    fail "a part was left out"
fi
quietly release-build.log "the build failed (release)" cmake --build --preset release --parallel "$jobs"
say "every test"
run_ctest release

build_preset() { # build_preset PRESET TARGET
    quietly "$1-configure.log" "configuring failed ($1)" cmake --preset "$1" -DZEROI2V_WERROR=ON \
        -DZEROI2V_BUILD_EXAMPLES=OFF -DZEROI2V_BUILD_BENCHMARKS=OFF
    quietly "$1-build.log" "the build failed ($1)" cmake --build --preset "$1" --parallel "$jobs" --target "$2"
}

if [ $all = yes ]; then
    say "AddressSanitizer and UndefinedBehaviorSanitizer: every unit test"
    build_preset asan unit_tests
    run_ctest asan

    say "ThreadSanitizer: the tests that run threads"
    build_preset tsan thread_tests
    run_ctest tsan

    clang=$(command -v clang++ || command -v clang++-14)
    say "every header alone with $clang"
    quietly clang-configure.log "configuring failed (clang)" cmake -S . -B build/clang -DCMAKE_CXX_COMPILER="$clang" -DCMAKE_BUILD_TYPE=Debug \
        -DCMAKE_CXX_FLAGS_DEBUG=-O0 -DZEROI2V_WERROR=ON -DZEROI2V_BUILD_EXAMPLES=OFF -DZEROI2V_BUILD_BENCHMARKS=OFF -DZEROI2V_BUILD_TESTS=OFF
    quietly clang-build.log "the build failed (clang)" cmake --build build/clang --parallel "$jobs" --target all_verify_interface_header_sets
fi

say "all passed"
