#!/bin/bash
# umbrella.sh ROOT: prints what ROOT/include/zeroi2v/zeroi2v.hpp has to say; redirect it there after adding a header.
cd "${1:?usage: umbrella.sh ROOT}/include" || exit 2
cat <<'TEXT'
// Everything from core to train. For users: no header of the library includes it, and io, video, interop and dispatch,
// which bring further dependencies, are included one by one; the *_impl.hpp come with the headers that they define.
#pragma once

TEXT
find zeroi2v/{core,tensor,simd,parallel,ops,stdha,nn,model,train} -name '*.hpp' ! -name '*_impl.hpp' 2>/dev/null | LC_ALL=C sort | sed 's/.*/#include <&>/'
