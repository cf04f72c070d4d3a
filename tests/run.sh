#!/bin/bash
# Installs what is missing, builds, and runs the suite; stops at the first failure with its reason.
#   Release with g++, warnings are errors: every test; the unit tests that hold memory or read files run with
#   AddressSanitizer and UndefinedBehaviorSanitizer
# With --all also, for an hour more:
#   AddressSanitizer and UndefinedBehaviorSanitizer, all their checks: every unit test
#   ThreadSanitizer: the tests that run threads
#   clang++: every header alone, warnings are errors
# With --mpi only this, a few minutes:
#   zeroi2v::mpi with Open MPI: one and several ranks on this machine, and across two network namespaces where that is permitted
# With --cuda only this, some minutes, where the CUDA toolkit 13 is:
#   zeroi2v::cuda and the program with it, compiled for sm_80, sm_90 and sm_100, warnings are errors; the tests that run on the
#   host; those that need a device, or how many there are where none is
# Logs are kept in build/. CMAKE_CXX_COMPILER_LAUNCHER=ccache in the environment is honoured.
set -euo pipefail
cd "$(dirname "$0")/.."
. cmake/need_packages.sh

all=no
mpi=no
cuda=no
case "$*" in
    "") ;;
    --all) all=yes ;;
    --mpi) mpi=yes ;;
    --cuda) cuda=yes ;;
    *) echo "usage: bash tests/run.sh [--all | --mpi | --cuda]" >&2 && exit 2 ;;
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
    doctest-dev libbenchmark-dev libcli11-dev strace python3 libavformat-dev libavcodec-dev libswscale-dev libavutil-dev

export CMAKE_GENERATOR=Ninja
export CXX=${CXX:-g++}

if [ $mpi = yes ]; then
    need_packages libopenmpi-dev openmpi-bin iproute2
    say "Release build with $CXX and MPI"
    quietly mpi-configure.log "configuring failed (mpi)" cmake -S . -B build/mpi -DCMAKE_BUILD_TYPE=Release -DZEROI2V_MPI=ON -DZEROI2V_WERROR=ON -DZEROI2V_UNITY_BUILD=ON \
        -DZEROI2V_BUILD_TESTS=ON -DZEROI2V_BUILD_EXAMPLES=ON -DZEROI2V_BUILD_BENCHMARKS=OFF
    quietly mpi-build.log "the build failed (mpi)" cmake --build build/mpi --parallel "$jobs" --target zeroi2v_program mpi_exchange_tests mpi_cli_tests
    say "the tests of several ranks"
    quietly mpi-test.log "tests failed (mpi)" ctest --test-dir build/mpi --no-tests=error --output-on-failure -L '^mpi$' # one after the other: they mind the clock
    grep -E 'tests passed|Total Test time|Skipped' build/mpi-test.log
    say "all passed"
    exit 0
fi

if [ $cuda = yes ]; then
    PATH=$PATH:/usr/local/cuda/bin
    command -v nvcc > /dev/null || fail "nvcc not found: install the CUDA toolkit 13 (https://developer.nvidia.com/cuda-downloads, then apt install cuda-toolkit-13-0)"
    say "Release build with $CXX and $(nvcc --version | sed -n 's/.*release \([0-9.]*\).*/nvcc \1/p') for sm_80, sm_90 and sm_100"
    quietly cuda-configure.log "configuring failed (cuda)" cmake --preset cuda -DZEROI2V_WERROR=ON -DZEROI2V_UNITY_BUILD=ON "-DCMAKE_CUDA_ARCHITECTURES=80-real;90-real;100" \
        -DZEROI2V_BUILD_TESTS=ON -DZEROI2V_BUILD_EXAMPLES=ON -DZEROI2V_BUILD_BENCHMARKS=ON
    quietly cuda-build.log "the build failed (cuda)" cmake --build build/cuda --parallel "$jobs" \
        --target zeroi2v_program cli_tests device_tests unit_cuda unit_video unit_program benchmark_cuda zeroi2v_cuda_verify_interface_header_sets
    ! grep -n 'warning' build/cuda-build.log >&2 || fail "nvcc or $CXX warned"
    ninja -C build/cuda -t commands zeroi2v_program | grep 'cuda_runner\.cu' > build/cuda-commands.log
    for code in 'code=\[sm_80\]' 'code=\[sm_90\]' 'code=\[compute_100,sm_100\]'; do
        grep -q "$code" build/cuda-commands.log || fail "the program has no $code"
    done
    say "the tests that run on the host"
    quietly cuda-test.log "tests failed (cuda)" ctest --test-dir build/cuda --no-tests=error --output-on-failure -j "$jobs" \
        -R '^(unit_cuda|unit_video|unit_program|cli\.devices|layers|configure|package\..*)$'
    grep -E 'tests passed|Total Test time' build/cuda-test.log
    say "the tests that need a device"
    quietly cuda-device.log "tests failed on the device" ctest --test-dir build/cuda --no-tests=error -V -L '^device$'
    sed -n 's/.*\(on .*(device [0-9]*, sm_.*)\)$/\1/p; s/.*\(skipped for want of a device: .*\)/\1/p' build/cuda-device.log | sort -u
    awk '/Test command: /{ ++tests } /unskipped test cases passing/{ ++skipped; cases += $NF }
        END { printf "%d device tests, skipped: %d with %d test cases\n", tests, skipped, cases }' build/cuda-device.log
    say "all passed"
    exit 0
fi

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
