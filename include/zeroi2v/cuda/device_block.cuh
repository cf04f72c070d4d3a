// device_block: what a kernel's body is given on a device: its place in the grid, shared memory, barriers, and the PTX it needs.
#pragma once

#include <zeroi2v/core/float16.hpp>
#include <zeroi2v/cuda/annotations.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace zeroi2v::cuda_kernels {

/// One thread's view of its block. Needs compute capability 8.0: cp.async, ldmatrix and mma.m16n8k16 of bf16 came with it.
///
/// Source  PTX ISA.     Test  not on the host: tests/unit/cuda/host_block.hpp stands for it there, with the same members
class device_block {
public:
    [[nodiscard]] ZEROI2V_ON_DEVICE unsigned thread() const noexcept { return threadIdx.x; }
    [[nodiscard]] ZEROI2V_ON_DEVICE unsigned threads() const noexcept { return blockDim.x; }
    [[nodiscard]] ZEROI2V_ON_DEVICE unsigned index() const noexcept { return blockIdx.x; }
    [[nodiscard]] ZEROI2V_ON_DEVICE int lane() const noexcept { return static_cast<int>(threadIdx.x % 32U); }
    [[nodiscard]] ZEROI2V_ON_DEVICE int warp() const noexcept { return static_cast<int>(threadIdx.x / 32U); }

    /// The block's dynamic shared memory.
    [[nodiscard]] ZEROI2V_ON_DEVICE std::byte* memory() const noexcept {
        extern __shared__ __align__(128) unsigned char zeroi2v_shared_memory[];
        return reinterpret_cast<std::byte*>(zeroi2v_shared_memory);
    }

    ZEROI2V_ON_DEVICE void barrier() const noexcept { __syncthreads(); }
    [[nodiscard]] ZEROI2V_ON_DEVICE float shuffle_xor(float value, unsigned mask) const noexcept {
        return __shfl_xor_sync(0xffffffffU, value, static_cast<int>(mask));
    }

    /// 16 bytes from global to shared memory, on their way until their group is waited for; zeros where not `valid`.
    ZEROI2V_ON_DEVICE void copy_16(void* to, void const* from, bool valid) const noexcept {
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(__cvta_generic_to_global(from)), "r"(valid ? 16 : 0) : "memory");
    }
    /// The copies since the last commit become a group.
    ZEROI2V_ON_DEVICE void commit() const noexcept { asm volatile("cp.async.commit_group;" ::: "memory"); }
    /// Until at most Pending groups are on their way.
    template <int Pending>
    ZEROI2V_ON_DEVICE void wait() const noexcept {
        asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
    }

    ZEROI2V_ON_DEVICE void load_matrix(std::uint32_t (&r)[4], void const* row) const noexcept {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "r"(shared_address(row))
                     : "memory");
    }
    ZEROI2V_ON_DEVICE void load_matrix_transposed(std::uint32_t (&r)[4], void const* row) const noexcept {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "r"(shared_address(row))
                     : "memory");
    }

    /// acc += a b, see mma_fragment.
    template <class E>
    ZEROI2V_ON_DEVICE void multiply(float (&acc)[4], std::uint32_t const (&a)[4], std::uint32_t const (&b)[2]) const noexcept {
        if constexpr (std::same_as<E, bf16>)
            asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                         : "+f"(acc[0]), "+f"(acc[1]), "+f"(acc[2]), "+f"(acc[3])
                         : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
        else
            asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                         : "+f"(acc[0]), "+f"(acc[1]), "+f"(acc[2]), "+f"(acc[3])
                         : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    }

    /// 2^x, at most 2 ulp, results below 2^-126 zero: enough for probabilities that are rounded to 16 bits.
    [[nodiscard]] ZEROI2V_ON_DEVICE float exp2(float x) const noexcept {
        float result;
        asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
        return result;
    }

private:
    [[nodiscard]] ZEROI2V_ON_DEVICE static std::uint32_t shared_address(void const* p) noexcept {
        return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
    }
};

/// Any kernel of cuda/kernels/ as CUDA launches it; its arguments lie in constant memory.
template <class Kernel>
__global__ void __launch_bounds__(Kernel::max_threads) run_on_device(__grid_constant__ typename Kernel::arguments const arguments) {
    device_block block;
    Kernel::run(block, arguments);
}

} // namespace zeroi2v::cuda_kernels
