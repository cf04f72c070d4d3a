// Compiled with -ffast-math, which lets a compiler take every number for finite: what promises to see a NaN or an infinity still does.
#include <zeroi2v/core/activation.hpp>
#include <zeroi2v/core/rounding.hpp>
#include <zeroi2v/model/merge.hpp>
#include <zeroi2v/model/vit_config.hpp>
#include <zeroi2v/nn/merge.hpp>
#include <zeroi2v/ops/kernels.hpp>
#include <zeroi2v/ops/packed_matrix.hpp>
#include <zeroi2v/parallel/executor.hpp>
#include <zeroi2v/train/adamw.hpp>

#include <doctest/doctest.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#ifndef __FINITE_MATH_ONLY__
#error "these tests are for -ffinite-math-only"
#endif
static_assert(__FINITE_MATH_ONLY__ == 1, "these tests are for -ffinite-math-only");

using namespace zeroi2v;

namespace {

// By their bits and from memory, so that no compiler knows them.
std::uint32_t volatile const nan_bits = 0x7fc00000U, infinity_bits = 0x7f800000U, negative_infinity_bits = 0xff800000U;

std::vector<float> specials() { return {std::bit_cast<float>(nan_bits), std::bit_cast<float>(infinity_bits), std::bit_cast<float>(negative_infinity_bits)}; }

/// The code of what `call` throws.
template <class Call>
error_code code_of(Call&& call) {
    try {
        call();
    } catch (error const& e) {
        return e.code();
    }
    return error_code::interrupted; // nothing thrown
}

bool nan(float value) { return (std::bit_cast<std::uint32_t>(value) & 0x7fffffffU) > 0x7f800000U; }

} // namespace

TEST_CASE("is_finite, rounding to two bytes, and the worst of two measures") {
    for (float const special : specials()) {
        CHECK_FALSE(is_finite(special));
        CHECK_FALSE(is_finite(static_cast<double>(special)));
        CHECK_FALSE(is_finite(round_to<float>(static_cast<double>(special))));
        CHECK_FALSE(is_finite(to_double(round_to<bf16>(static_cast<double>(special)))));
        CHECK_FALSE(is_finite(to_double(round_to<f16>(static_cast<double>(special)))));
        merge_report report;
        report += merge_report{.max_ulp = static_cast<double>(special)};
        CHECK_FALSE(report.holds());
        report = {};
        report += merge_report{.max_line_error = static_cast<double>(special)};
        CHECK_FALSE(report.holds());
    }
    CHECK((is_finite(3e38F) && is_finite(0.0) && is_finite(-1e308)));
}

TEST_CASE("a configuration, and weights for int8") {
    for (float const special : specials()) {
        CHECK(code_of([&] { static_cast<void>(vit_config{{}, frame_map<>{12}, static_cast<double>(special)}); }) == error_code::bad_config);
        std::vector<float> w(12, 1.0F);
        w[7] = special;
        CHECK(code_of([&] { static_cast<void>(packed_matrix{kernels_of<default_arch>(), dtype::i8, matrix_view<float const>{w.data(), 3, 4}}); }) == error_code::nonfinite_weight);
    }
    CHECK_NOTHROW(vit_config{{}, frame_map<>{12}, 0.5});
}

TEST_CASE("rows of int8 activations, from kernels compiled like this") {
    matmul_kernel const& kernel = kernels_of<default_arch>().i8;
    for (std::size_t const k : {3U, 8U, 21U})
        for (std::size_t at = 0; at < k; ++at)
            for (float const special : specials()) {
                std::vector<float> row(k, 0.5F);
                aligned_buffer prepared{kernel.prepared_stride(k) * kernel.activation_bytes};
                float scale = 0;
                kernel.prepare_rows({row.data(), k, 1, k, prepared.data(), &scale});
                CHECK(is_finite(scale));
                row[at] = special;
                kernel.prepare_rows({row.data(), k, 1, k, prepared.data(), &scale});
                CHECK(nan(scale));
            }
}

TEST_CASE("a merge, and the logits it is judged by") {
    for (float const special : specials())
        for (std::size_t const operand : {0U, 1U, 2U, 3U}) {
            dynamic_linear<float> layer{dynamic_tensor<float, 2>{3, 4}, dynamic_tensor<float, 1>{3}};
            auto adapter = make_linear_adapter<float>(4, 2);
            float* const places[]{layer.weight.data(), layer.bias.data(), adapter.D_fc1.weight.data(), adapter.D_fc2.bias.data()};
            for (float* const place : places) place[0] = 0.25F;
            adapter.D_fc2.weight.data()[0] = 0.5F;
            CHECK_NOTHROW((void)merge_measured(layer, adapter, before, 0.5));
            *places[operand] = special;
            CAPTURE(operand);
            CAPTURE(std::bit_cast<std::uint32_t>(special));
            CHECK(code_of([&] { (void)merge_measured(layer, adapter, before, 0.5); }) == error_code::nonfinite_merge);
        }
    for (float const special : specials()) {
        static_linear<float, 1, 1> const layer{{{2}}, {{0}}};
        static_linear_adapter<float, 1, 1> const adapter{{{{special}}, {{0}}}, {{{1}}, {{0}}}};
        CHECK(code_of([&] { (void)merge(layer, adapter, before, 0.5); }) == error_code::nonfinite_merge);
    }
    for (float const special : specials())
        for (std::size_t const at : {0U, 1U, 2U}) {
            std::vector<float> const a{1, -2, 3};
            auto b = a;
            CHECK(detail::compare_logits(a, b, 0, dtype::f32).holds());
            b[at] = special;
            CHECK_FALSE(detail::compare_logits(a, b, 0, dtype::f32).holds());
            CHECK_FALSE(detail::compare_logits(b, a, 0, dtype::f32).holds());
            CHECK_FALSE(detail::compare_logits(b, b, 0, dtype::f32).holds());
        }
}

TEST_CASE("every activation but none: NaN and infinities, and numbers far out, have the value that they have without fast math") {
    std::uint32_t const infinity = infinity_bits;
    auto const bits = [](float x) { return std::bit_cast<std::uint32_t>(x); };
    for (std::size_t i = 1; i < activation_count; ++i) {
        auto const act = static_cast<activation>(i);
        CAPTURE(to_string(act));
        // quick_gelu divides by 1 + exp(-1.702 x) as it is: the estimate of a reciprocal makes NaN of infinity.
        float const far = act == activation::quick_gelu ? 50.0F : 3e38F;
        std::vector<float> const x{std::bit_cast<float>(nan_bits), std::bit_cast<float>(infinity), std::bit_cast<float>(negative_infinity_bits), -far, far, 0.0F, -0.0F, 20, 1e-30F};
        std::vector<float> y(x.size());
        kernels_of<default_arch>().of(act).forward(x.data(), y.data(), x.size());
        CHECK(nan(y[0]));
        CHECK(bits(y[1]) == infinity);
        CHECK(nan(y[2]));
        CHECK((bits(y[3]) & 0x7fffffffU) < bits(1e-30F));
        CHECK((y[4] > 0.9999F * far && y[4] < 1.0001F * far));
        CHECK((bits(y[5]) & 0x7fffffffU) == 0);
        CHECK((bits(y[6]) & 0x7fffffffU) == 0);
        CHECK((y[7] > 19.9999F && y[7] < 20.0001F));
        CHECK((y[8] > 4.9e-31F && y[8] < 5.1e-31F));
        std::vector<float> const ones(x.size(), 1.0F);
        kernels_of<default_arch>().of(act).backward(x.data(), ones.data(), y.data(), x.size());
        CHECK(nan(y[0]));
        CHECK((bits(y[3]) & 0x7fffffffU) < bits(1e-30F));
        CHECK((y[4] > 0.9999F && y[4] < 1.0001F));
        CHECK((y[5] > 0.4999F && y[5] < 0.5001F));
        CHECK((y[6] > 0.4999F && y[6] < 0.5001F));
    }
}

TEST_CASE("a step of AdamW") {
    serial_executor here;
    for (std::size_t const count : {1U, 4U, 7U})
        for (std::size_t const which : {0U, 1U, 2U, 3U})
            for (float const special : specials()) {
                std::vector<float> values[4];
                for (auto& each : values) each.assign(count, 0.5F);
                adamw const step{{}, 3};
                adamw_tensor const of{values[0].data(), values[1].data(), values[2].data(), values[3].data(), count, 0.1, 0.01};
                CHECK(step.stays_finite(here, of));
                values[which][count - 1] = special;
                CHECK_FALSE(step.stays_finite(here, of));
            }
}
