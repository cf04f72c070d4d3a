// products: matrix products by cuBLASLt, a plan for each shape chosen once.
#pragma once

#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/cuda/product_shape.hpp>

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

namespace zeroi2v::detail {

inline void check_cublas(cublasStatus_t status, char const* call, product_shape const* shape = nullptr) {
    if (status == CUBLAS_STATUS_SUCCESS) return;
    std::string what = std::string{"cuda: "} + call + ": " + cublasLtGetStatusName(status) + ", " + cublasLtGetStatusString(status);
    if (shape != nullptr)
        what += ", product of (" + std::to_string(shape->rows) + "," + std::to_string(shape->inputs) + ") with (" + std::to_string(shape->outputs) + ","
                + std::to_string(shape->inputs) + ") of " + std::string{dtype_name(shape->in)};
    throw device_error{status == CUBLAS_STATUS_ALLOC_FAILED ? error_code::out_of_memory : error_code::device_failed, what};
}

template <class Object, cublasStatus_t (*Destroy)(Object)>
struct destroy_cublas {
    using pointer = Object;
    void operator()(Object object) const noexcept { static_cast<void>(Destroy(object)); }
};
template <class Object, cublasStatus_t (*Destroy)(Object)>
using cublas_owner = std::unique_ptr<Object, destroy_cublas<Object, Destroy>>;

using cublas_handle = cublas_owner<cublasLtHandle_t, cublasLtDestroy>;

[[nodiscard]] inline cublas_handle make_cublas_handle() {
    cublasLtHandle_t handle{};
    check_cublas(cublasLtCreate(&handle), "cublasLtCreate");
    return cublas_handle{handle};
}

/// The products of one stream.
///
/// What is row-major for us is column-major for cuBLASLt: d^T (N,M) = w (N,K) a^T (K,M), so w is its A, transposed, and the bias, one for
/// each of our outputs, is one for each of its rows, as its epilogue wants it.
///
/// Numerics  fp32 accumulation; TF32 only where asked for. Split sums are added in a fixed order: the same bits in every run.
/// Errors    device_error device_failed with cuBLASLt's words and the shape; also where it has no algorithm for it.
/// Cost      the first product of a shape asks cuBLASLt's heuristics, on the host.
/// Test      tests/cuda/device.cu, needs a device: not yet run
class product_plans {
public:
    /// Bytes of scratch: what NVIDIA recommends for Hopper and newer, and enough for older ones.
    static constexpr std::size_t scratch_size = std::size_t{32} << 20;

    product_plans(cublasLtHandle_t handle, bool tf32, void* scratch, std::size_t scratch_bytes)
        : handle_{handle}, tf32_{tf32}, scratch_{scratch}, scratch_bytes_{scratch_bytes} {}

    void run(product_shape const& shape, product_operands const& o, cudaStream_t stream) {
        plan& p = plan_for(shape, o);
        if (shape.bias)
            check_cublas(cublasLtMatmulDescSetAttribute(p.operation.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, &o.bias, sizeof o.bias), "cublasLtMatmulDescSetAttribute");
        float const one = 1, beta = shape.add ? 1 : 0;
        check_cublas(cublasLtMatmul(handle_, p.operation.get(), &one, o.w, p.w.get(), o.a, p.a.get(), &beta, shape.add ? o.c : o.d, p.c.get(), o.d, p.d.get(),
                                    &p.algorithm, scratch_, scratch_bytes_, stream),
                     "cublasLtMatmul", &shape);
    }

    /// How many shapes have been planned.
    [[nodiscard]] std::size_t size() const noexcept { return plans_.size(); }

private:
    using layout = cublas_owner<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
    using operation = cublas_owner<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
    using preference = cublas_owner<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

    struct plan {
        detail::cublas_owner<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy> operation;
        layout w, a, c, d;
        cublasLtMatmulAlgo_t algorithm{};
    };
    /// An algorithm serves a shape and operands that are aligned so.
    struct key {
        product_shape shape;
        std::array<std::uint32_t, 4> alignments{}; // w, a, c, d
        friend constexpr auto operator<=>(key const&, key const&) = default;
    };

    [[nodiscard]] static std::uint32_t alignment_of(void const* p) noexcept {
        auto const address = reinterpret_cast<std::uintptr_t>(p);
        return static_cast<std::uint32_t>(std::min<std::uintptr_t>(address & (~address + 1), 256));
    }
    [[nodiscard]] static cudaDataType_t type_of(dtype type) noexcept {
        return type == dtype::bf16 ? CUDA_R_16BF : type == dtype::f16 ? CUDA_R_16F : CUDA_R_32F;
    }
    [[nodiscard]] static layout make_layout(dtype type, std::size_t rows, std::size_t columns, std::size_t stride) {
        cublasLtMatrixLayout_t result{};
        check_cublas(cublasLtMatrixLayoutCreate(&result, type_of(type), rows, columns, static_cast<std::int64_t>(stride)), "cublasLtMatrixLayoutCreate");
        return layout{result};
    }

    [[nodiscard]] plan& plan_for(product_shape const& shape, product_operands const& o) {
        void const* const c = shape.add ? o.c : o.d;
        key const wanted{shape, {alignment_of(o.w), alignment_of(o.a), alignment_of(c), alignment_of(o.d)}};
        auto const found = plans_.find(wanted);
        return found != plans_.end() ? found->second : plans_.emplace(wanted, make_plan(wanted, o.bias)).first->second;
    }

    [[nodiscard]] plan make_plan(key const& wanted, void const* bias) const {
        product_shape const& s = wanted.shape;
        plan p;
        cublasLtMatmulDesc_t made{};
        cublasComputeType_t const compute = tf32_ && s.in == dtype::f32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
        check_cublas(cublasLtMatmulDescCreate(&made, compute, CUDA_R_32F), "cublasLtMatmulDescCreate");
        p.operation.reset(made);
        auto const set = [&](cublasLtMatmulDescAttributes_t attribute, auto const& value) {
            check_cublas(cublasLtMatmulDescSetAttribute(made, attribute, &value, sizeof value), "cublasLtMatmulDescSetAttribute");
        };
        set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
        set(CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N);
        if (s.bias) {
            set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
            set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type_of(s.out));
            set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
        }
        p.w = make_layout(s.in, s.inputs, s.outputs, s.inputs);
        p.a = make_layout(s.in, s.inputs, s.rows, s.lda);
        p.c = make_layout(s.out, s.outputs, s.rows, s.add ? s.ldc : s.ldd);
        p.d = make_layout(s.out, s.outputs, s.rows, s.ldd);

        cublasLtMatmulPreference_t preferred{};
        check_cublas(cublasLtMatmulPreferenceCreate(&preferred), "cublasLtMatmulPreferenceCreate");
        preference const owner{preferred};
        auto const prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto const& value) {
            check_cublas(cublasLtMatmulPreferenceSetAttribute(preferred, attribute, &value, sizeof value), "cublasLtMatmulPreferenceSetAttribute");
        };
        prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::uint64_t>(scratch_bytes_));
        prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
        prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, wanted.alignments[0]);
        prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, wanted.alignments[1]);
        prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, wanted.alignments[2]);
        prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, wanted.alignments[3]);
        cublasLtMatmulHeuristicResult_t best{};
        int count = 0;
        check_cublas(cublasLtMatmulAlgoGetHeuristic(handle_, made, p.w.get(), p.a.get(), p.c.get(), p.d.get(), preferred, 1, &best, &count),
                     "cublasLtMatmulAlgoGetHeuristic", &s);
        if (count == 0) check_cublas(CUBLAS_STATUS_NOT_SUPPORTED, "cublasLtMatmulAlgoGetHeuristic", &s);
        p.algorithm = best.algo;
        return p;
    }

    cublasLtHandle_t handle_;
    bool tf32_;
    void* scratch_;
    std::size_t scratch_bytes_;
    std::map<key, plan> plans_;
};

} // namespace zeroi2v::detail
