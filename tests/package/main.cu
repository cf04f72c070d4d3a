// What only nvcc compiles of the installed headers.
#include <zeroi2v/cuda/engine_cuda.cuh>

static_assert(sizeof(zeroi2v::engine_cuda<zeroi2v::no_adapters>) > 0);
