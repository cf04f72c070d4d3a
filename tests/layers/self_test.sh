#!/bin/bash
# self_test.sh FOLDER: the layer check passes a sound tree and fails, naming the file, on each single violation.
set -u
check=$(cd "$(dirname "$0")" && pwd)/check.sh
work=${1:?usage: self_test.sh FOLDER}
failures=0
cases=0

header() { # header PATH [LINE...]: a well-formed header with these lines
    local path=$work/tree/include/zeroi2v/$1
    shift
    mkdir -p "$(dirname "$path")"
    { echo "// Something."; echo "#pragma once"; printf '%s\n' "$@"; } > "$path"
}
sound_tree() {
    rm -rf "$work/tree"
    mkdir -p "$work/tree/tests/unit/core"
    echo 'int x;' > "$work/tree/tests/unit/core/a.cpp"
    header core/a.hpp
    header tensor/b.hpp '#include <zeroi2v/core/a.hpp>' '#include <vector>'
    header simd/c.hpp '#include <zeroi2v/tensor/b.hpp>' '#include <xsimd/xsimd.hpp>' '#include <immintrin.h>' 'using r = __m256;'
    header ops/d.hpp '#include <zeroi2v/simd/c.hpp>'
    header nn/merge_tensors.hpp '#include <Eigen/Core>'
    header model/m.hpp '#include <zeroi2v/nn/merge_tensors.hpp>'
    header io/e.hpp '#include <zeroi2v/model/m.hpp>' '#include <zeroi2v/io/checkpoints/c.hpp>'
    header io/files/f.hpp
    header io/json/j.hpp '#include <zeroi2v/io/files/f.hpp>'
    header io/safetensors/s.hpp '#include <zeroi2v/io/json/j.hpp>'
    header io/torch/t.hpp '#include <zeroi2v/io/files/f.hpp>'
    header io/checkpoints/c.hpp '#include <zeroi2v/io/safetensors/s.hpp>' '#include <zeroi2v/io/torch/t.hpp>'
    header video/ffmpeg.hpp '#include <libavcodec/avcodec.h>'
    header video/ffmpeg/input.hpp '#include <libavformat/avformat.h>'
    header video/headers/e.hpp
    header zeroi2v.hpp '#include <zeroi2v/core/a.hpp>' '#include <zeroi2v/model/m.hpp>' '#include <zeroi2v/nn/merge_tensors.hpp>' \
        '#include <zeroi2v/ops/d.hpp>' '#include <zeroi2v/simd/c.hpp>' '#include <zeroi2v/tensor/b.hpp>'
}
expect() { # expect STATUS TEXT: the check ends with STATUS and prints TEXT
    local out status
    out=$(bash "$check" "$work/tree" 2>&1)
    status=$?
    cases=$((cases + 1))
    if [ $status -ne "$1" ] || [[ "$out" != *"$2"* ]]; then
        echo "self test: expected status $1 and \"$2\", got $status and: $out"
        failures=$((failures + 1))
    fi
}
violation() { # violation PATH LINE TEXT: one more line in one header
    sound_tree
    echo "$2" >> "$work/tree/include/zeroi2v/$1"
    expect 1 "include/zeroi2v/$1"
    expect 1 "$3"
}

sound_tree; expect 0 "no violation"
rm -rf "$work/tree/include"; mkdir -p "$work/tree/include/zeroi2v"; expect 2 "no file"
violation core/a.hpp '#include <zeroi2v/tensor/b.hpp>' "not downward"
violation simd/c.hpp '#include <zeroi2v/ops/d.hpp>' "not downward"
violation ops/d.hpp '#  include  <zeroi2v/model/m.hpp>' "not downward"
violation model/m.hpp '#include <zeroi2v/io/e.hpp>' "includes the leaf"
violation video/ffmpeg.hpp '#include <zeroi2v/io/e.hpp>' "includes the leaf"
violation io/files/f.hpp '#include <zeroi2v/io/json/j.hpp>' "io/files includes <zeroi2v/io/json/j.hpp>: not downward among the rooms"
violation io/torch/t.hpp '#include <zeroi2v/io/safetensors/s.hpp>' "not downward among the rooms"
violation io/checkpoints/c.hpp '#include <zeroi2v/io/e.hpp>' "not downward among the rooms"
sound_tree; header io/attic/a.hpp; expect 1 "attic is no room of io"
violation model/m.hpp '#include <zeroi2v/zeroi2v.hpp>' "the umbrella is for users only"
violation io/e.hpp '#include <zeroi2v/core/gone.hpp>' "does not exist"
violation core/a.hpp '/// Cost  none.    Test  tests/unit/core/gone.cpp' "tests/unit/core/gone.cpp does not exist"
violation core/a.hpp '/// Test  tests/unit/core/a.cpp, tests/unit/core/gone_*.cpp; more' "tests/unit/core/gone_*.cpp does not exist"
sound_tree; echo '/// Test  tests/unit/core/a.cpp, tests/unit/core/*.cpp.' >> "$work/tree/include/zeroi2v/core/a.hpp"; expect 0 "no violation"
violation ops/d.hpp '#include <xsimd/xsimd.hpp>' "outside simd/"
violation ops/d.hpp '#include <immintrin.h>' "outside simd/"
violation ops/d.hpp '#include <emmintrin.h>' "outside simd/"
violation ops/d.hpp 'auto x = _mm256_setzero_ps();' "intrinsic outside simd/"
violation ops/d.hpp '#if defined(__AVX2__)' "instruction set outside simd/"
violation model/m.hpp '#include <Eigen/Dense>' "outside nn/merge"
violation io/e.hpp '#include <nlohmann/json_fwd.hpp>' "no library needs it"
violation io/e.hpp '#include <mpi.h>' "outside mpi/"
violation io/e.hpp '#include <libavutil/frame.h>' "outside video/ffmpeg.hpp"
violation video/headers/e.hpp '#include <libavutil/frame.h>' "outside video/ffmpeg.hpp"
violation core/a.hpp '#include "b.hpp"' "include with quotes"
violation zeroi2v.hpp '#include <zeroi2v/io/e.hpp>' "the umbrella includes the leaf"
violation zeroi2v.hpp '#include <zeroi2v/core/a.hpp>' "out of order or listed twice"
sound_tree; header core/new.hpp; expect 1 "<zeroi2v/core/new.hpp> is missing"
sound_tree; header misc/z.hpp; expect 1 "no layer and no leaf"
sound_tree; sed -i 1d "$work/tree/include/zeroi2v/core/a.hpp"; expect 1 "does not say what the file is"
sound_tree; sed -i 2d "$work/tree/include/zeroi2v/core/a.hpp"; expect 1 "no #pragma once"
sound_tree; for _ in $(seq 397); do echo 'int x;'; done >> "$work/tree/include/zeroi2v/core/a.hpp"; expect 0 "no violation"
echo 'int x;' >> "$work/tree/include/zeroi2v/core/a.hpp"; expect 1 "401 lines"
echo '// It is over 400 lines because of the table.' >> "$work/tree/include/zeroi2v/core/a.hpp"; expect 0 "no violation"
sound_tree; mkdir -p "$work/tree/src/dispatch"; echo '#include <zeroi2v/ops/d.hpp>' > "$work/tree/src/dispatch/x.cpp"; expect 0 "no violation"
echo '#include <immintrin.h>' >> "$work/tree/src/dispatch/x.cpp"; expect 1 "src/dispatch/x.cpp:2"

rm -rf "$work/tree"
echo "self test of the layer check: $cases cases, $failures failed"
[ $failures -eq 0 ] && [ $cases -ge 40 ]
