#!/bin/bash
# check.sh: what CMake says and does when parts are missing or do not exist. Each case configures, none builds.
# Environment: SOURCE (the repository), WORK, CXX, CMAKE.
set -u
failures=0
cases=0

configure() { # configure ARGUMENT...: status in $status, output in $output
    rm -rf "$WORK"
    output=$("$CMAKE" -S "$SOURCE" -B "$WORK" -DCMAKE_CXX_COMPILER="$CXX" "$@" 2>&1)
    status=$?
}
expect() { # expect TEXT...: the output contains each, line breaks aside
    local text flat
    flat=$(tr -s '\n ' '  ' <<< "$output")
    for text in "$@"; do
        cases=$((cases + 1))
        [[ "$flat" == *"$text"* ]] && continue
        failures=$((failures + 1))
        echo "configure: expected \"$text\" in: $output"
    done
}
expect_status() {
    cases=$((cases + 1))
    [ $status -eq "$1" ] && return
    failures=$((failures + 1))
    echo "configure: expected status $1, got $status: $output"
}

# Optional packages that are missing are named with the way to get them, and the rest still configures.
configure -DCMAKE_DISABLE_FIND_PACKAGE_doctest=ON -DCMAKE_DISABLE_FIND_PACKAGE_benchmark=ON \
    -DCMAKE_DISABLE_FIND_PACKAGE_PkgConfig=ON -DCMAKE_DISABLE_FIND_PACKAGE_nlohmann_json=ON
expect_status 0
expect "the unit tests left out" "apt install doctest-dev nlohmann-json3-dev" "the benchmarks left out" "apt install libbenchmark-dev" \
    "zeroi2v::video left out" \
    "apt install pkg-config libavformat-dev libavcodec-dev libswscale-dev libavutil-dev" "the programs left out"

configure -DCMAKE_DISABLE_FIND_PACKAGE_CLI11=ON
expect_status 0
expect "the program zeroi2v left out: CLI11 2.1 not found (apt install libcli11-dev)"

# What everything needs is an error that says so.
configure -DCMAKE_DISABLE_FIND_PACKAGE_xsimd=ON
expect_status 1
expect "apt install libxsimd-dev"
configure -DCMAKE_DISABLE_FIND_PACKAGE_Eigen3=ON
expect_status 1
expect "apt install libeigen3-dev"

# CUDA and MPI are asked for, so their absence is an error.
configure -DZEROI2V_CUDA=ON -DCMAKE_DISABLE_FIND_PACKAGE_CUDAToolkit=ON
expect_status 1
expect "ZEROI2V_CUDA=ON: the CUDA toolkit 13 with nvcc and cuBLASLt not found" "https://developer.nvidia.com/cuda-downloads" \
    "apt install cuda-toolkit-13-0" "-DCUDAToolkit_ROOT=FOLDER"
configure -DZEROI2V_MPI=ON -DCMAKE_DISABLE_FIND_PACKAGE_MPI=ON
expect_status 1
expect "apt install libopenmpi-dev openmpi-bin"

rm -rf "$WORK"
echo "configure: $cases checks, $failures failed"
[ $failures -eq 0 ]
