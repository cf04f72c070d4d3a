// packed_matrix: the weights of a linear layer in the order in which one matmul kernel reads them.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/core/float16.hpp>
#include <zeroi2v/core/rounding.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/ops/matrix_view.hpp>
#include <zeroi2v/tensor/aligned_buffer.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace zeroi2v {

/// Which part of a matrix to pack, and by what to multiply it.
struct packing {
    std::size_t first_row = 0;
    std::size_t rows = std::numeric_limits<std::size_t>::max(); ///< at most; the matrix may end before
    double scale = 1; ///< of weights and bias; the product is rounded once
    bool transposed = false; ///< the matrix on its side: rows are inputs, columns outputs; for f32 and bf16, without a bias
};

/// Weights (N,K) and bias (N), packed for the kernels of one instruction set and one type of weights.
///
/// Panels of kernel.panel_width channels; in a panel, groups of kernel.group consecutive k lie together, all channels of
/// one group one after the other; channels and k that the matrix lacks are zeros.
/// Numerics  f32: the float nearest to scale * w. bf16: that float rounded to nearest even. int8: w / s rounded to nearest
///           even, s = max |w| of the channel / 127: at most half a step off, in [-127, 127].
/// Errors    a type without a kernel, weights not of rank >= 1 and f32, f16 or bf16 -> ZEROI2V_REQUIRE;
///           bias not as long as the rows -> ZEROI2V_REQUIRE; int8 of a NaN or infinity -> checkpoint_error
///           nonfinite_weight; K beyond the kernel's max_k -> model_error bad_config; no memory -> resource_error.
/// Test      tests/unit/ops/packed_matrix.cpp
class packed_matrix {
public:
    packed_matrix() noexcept = default;

    packed_matrix(kernel_table const& kernels, dtype type, matrix_view<float const> weight,
                  std::span<float const> bias = {}, packing const& options = {})
        : packed_matrix{kernels, type, options, weight.rows, weight.columns} {
        ZEROI2V_REQUIRE(bias.empty() || bias.size() == weight.rows, "zeroi2v::packed_matrix: bias must have one value per row");
        pack([&](std::size_t row, std::span<float> out) {
            for (std::size_t k = 0; k < out.size(); ++k) out[k] = scaled(weight.row(row)[k], options.scale);
        }, options);
        ZEROI2V_REQUIRE(bias.empty() || !options.transposed, "zeroi2v::packed_matrix: a transposed matrix has no bias");
        if (!bias.empty())
            pack_bias([&](std::size_t row) { return scaled(bias[row], options.scale); }, options.first_row);
    }

    /// `weight` (N, ...): all dimensions but the first are K. `bias` may be null.
    packed_matrix(kernel_table const& kernels, dtype type, stored_tensor const& weight, stored_tensor const* bias = nullptr,
                  packing const& options = {})
        : packed_matrix{kernels, type, options, row_count(weight), column_count(weight)} {
        fill(weight, bias, options);
    }

    /// Packs another weight of the same shape, with or without a bias as before, in the place of this one; allocates one row.
    /// Errors  as the constructor's; another shape -> ZEROI2V_REQUIRE.
    void repack(stored_tensor const& weight, stored_tensor const* bias, packing const& options) {
        ZEROI2V_REQUIRE(!empty() && options.first_row <= row_count(weight), "zeroi2v::packed_matrix: the first row must be in the matrix");
        std::size_t const rows = std::min(options.rows, row_count(weight) - options.first_row), columns = column_count(weight);
        ZEROI2V_REQUIRE((options.transposed ? outputs_ == columns && inputs_ == rows : outputs_ == rows && inputs_ == columns) && (bias != nullptr) == has_bias(),
                        "zeroi2v::packed_matrix: a weight of the same shape is packed in the place of another");
        fill(weight, bias, options);
    }

    [[nodiscard]] std::size_t outputs() const noexcept { return outputs_; }
    [[nodiscard]] std::size_t inputs() const noexcept { return inputs_; }
    [[nodiscard]] dtype type() const noexcept { return type_; }
    [[nodiscard]] bool empty() const noexcept { return kernels_ == nullptr; }
    [[nodiscard]] bool has_bias() const noexcept { return bias_.size() != 0; }
    [[nodiscard]] std::size_t byte_size() const noexcept {
        return panels_.size() + bias_.size() + scales_.size() + sums_.size();
    }

    /// The instruction set that it is packed for.
    [[nodiscard]] isa level() const noexcept { return kernels_->level; }
    [[nodiscard]] matmul_kernel const& kernel() const noexcept { return *kernels_->matmul(type_); }
    [[nodiscard]] std::size_t panel_count() const noexcept {
        return (outputs_ + kernel().panel_width - 1) / kernel().panel_width;
    }
    [[nodiscard]] std::byte const* panel(std::size_t p) const noexcept { return panels_.data() + p * kernel().panel_bytes(inputs_); }
    /// (N), or null.
    [[nodiscard]] float const* bias() const noexcept { return reinterpret_cast<float const*>(bias_.data()); }
    [[nodiscard]] float const* scales() const noexcept { return reinterpret_cast<float const*>(scales_.data()); }
    [[nodiscard]] std::int32_t const* sums() const noexcept { return reinterpret_cast<std::int32_t const*>(sums_.data()); }

private:
    packed_matrix(kernel_table const& kernels, dtype type, packing const& options, std::size_t rows, std::size_t columns)
        : kernels_{&kernels}, type_{type}, inputs_{columns} {
        ZEROI2V_REQUIRE(kernels.matmul(type) != nullptr, "zeroi2v::packed_matrix: weights are packed as f32, bf16 or int8");
        ZEROI2V_REQUIRE(options.first_row <= rows, "zeroi2v::packed_matrix: the first row must be in the matrix");
        std::size_t const left = rows - options.first_row;
        outputs_ = options.rows < left ? options.rows : left;
        if (options.transposed) {
            ZEROI2V_REQUIRE(type != dtype::i8, "zeroi2v::packed_matrix: int8 has one scale per row and cannot be transposed");
            std::swap(outputs_, inputs_);
        }
        if (inputs_ > kernel().max_k)
            throw model_error{error_code::bad_config, "matmul in " + std::string{dtype_name(type)} + ": " + std::to_string(inputs_)
                                                          + " inputs, at most " + std::to_string(kernel().max_k)
                                                          + " cannot overflow the sum"};
        std::size_t const bytes = panel_count() * kernel().panel_bytes(inputs_);
        panels_ = aligned_buffer::in_large_pages(bytes);
        if (bytes != 0) std::memset(panels_.data(), 0, bytes);
        if (type_ == dtype::i8) scales_ = aligned_buffer{outputs_ * sizeof(float)};
        if (kernel().weight_sums) sums_ = aligned_buffer{outputs_ * sizeof(std::int32_t)};
    }

    [[nodiscard]] static std::size_t row_count(stored_tensor const& weight) {
        ZEROI2V_REQUIRE(weight.sizes().rank() >= 1 && is_weight_dtype(weight.type()),
                        "zeroi2v::packed_matrix: weights must be f32, f16 or bf16, and of rank 1 or more");
        return weight.sizes()[0];
    }
    [[nodiscard]] static std::size_t column_count(stored_tensor const& weight) {
        std::size_t product = 1;
        for (std::size_t r = 1; r < weight.sizes().rank(); ++r) product *= weight.sizes()[r];
        return product;
    }
    [[nodiscard]] static float scaled(float value, double scale) noexcept {
        return scale == 1 ? value : static_cast<float>(static_cast<double>(value) * scale);
    }

    void fill(stored_tensor const& weight, stored_tensor const* bias, packing const& options) {
        std::size_t const columns = column_count(weight);
        ZEROI2V_REQUIRE(bias == nullptr || (is_weight_dtype(bias->type()) && bias->count() == row_count(weight)),
                        "zeroi2v::packed_matrix: bias must be f32, f16 or bf16 and have one value per row");
        pack([&](std::size_t row, std::span<float> out) {
            weight.widen(row * columns, out);
            if (options.scale != 1)
                for (float& value : out) value = scaled(value, options.scale);
        }, options);
        ZEROI2V_REQUIRE(bias == nullptr || !options.transposed, "zeroi2v::packed_matrix: a transposed matrix has no bias");
        if (bias != nullptr)
            pack_bias([&](std::size_t row) { return static_cast<float>(bias->value(row) * options.scale); }, options.first_row);
    }

    template <class ReadRow>
    void pack(ReadRow read_row, packing const& options) {
        if (options.transposed) {
            pack_transposed(read_row, options.first_row);
            return;
        }
        std::size_t const first_row = options.first_row;
        std::vector<float> row(inputs_);
        for (std::size_t n = 0; n < outputs_; ++n) {
            read_row(first_row + n, std::span<float>{row});
            switch (type_) {
            case dtype::bf16: place<std::uint16_t>(n, row, [](float value) { return bf16{value}.bits; }); break;
            case dtype::i8: place_int8(n, row); break;
            default: place<float>(n, row, [](float value) { return value; });
            }
        }
    }

    /// A row of the matrix is one k of every channel.
    template <class ReadRow>
    void pack_transposed(ReadRow read_row, std::size_t first_row) {
        matmul_kernel const& layout = kernel();
        std::size_t const width = layout.panel_width, group = layout.group, panel_bytes = layout.panel_bytes(inputs_);
        std::vector<float> row(outputs_);
        auto const spread = [&]<class Element>(Element, std::size_t k, auto convert) {
            for (std::size_t n = 0; n < outputs_; n += width) {
                auto* const out = reinterpret_cast<Element*>(panels_.data() + n / width * panel_bytes) + k / group * width * group + k % group;
                std::size_t const here = outputs_ - n < width ? outputs_ - n : width;
                for (std::size_t i = 0; i < here; ++i) out[i * group] = convert(row[n + i]);
            }
        };
        for (std::size_t k = 0; k < inputs_; ++k) {
            read_row(first_row + k, std::span<float>{row});
            if (type_ == dtype::bf16) spread(std::uint16_t{}, k, [](float value) { return bf16{value}.bits; });
            else spread(float{}, k, [](float value) { return value; });
        }
    }

    template <class Element, class Convert>
    void place(std::size_t n, std::span<float const> row, Convert convert) noexcept {
        matmul_kernel const& layout = kernel();
        std::size_t const width = layout.panel_width;
        std::size_t const group = layout.group;
        auto* const panel = reinterpret_cast<Element*>(panels_.data() + n / width * layout.panel_bytes(inputs_));
        Element* out = panel + n % width * group;
        std::size_t k = 0;
        for (; k + group <= row.size(); k += group, out += width * group)
            for (std::size_t j = 0; j < group; ++j) out[j] = convert(row[k + j]);
        for (std::size_t j = 0; k + j < row.size(); ++j) out[j] = convert(row[k + j]);
    }

    void place_int8(std::size_t n, std::span<float const> row) {
        float largest = 0;
        for (std::size_t k = 0; k < row.size(); ++k) {
            if (!is_finite(row[k]))
                throw checkpoint_error{error_code::nonfinite_weight, "weight: row " + std::to_string(n) + ", column "
                                                                         + std::to_string(k)
                                                                         + " is not finite; int8 has no such value"};
            largest = std::fmax(largest, std::fabs(row[k]));
        }
        double const step = static_cast<double>(largest) / 127.0;
        double const per_step = largest > 0 ? 127.0 / static_cast<double>(largest) : 0.0;
        std::int32_t sum = 0;
        place<std::int8_t>(n, row, [&](float value) {
            auto const quantised = static_cast<std::int8_t>(std::lrint(static_cast<double>(value) * per_step));
            sum += quantised;
            return quantised;
        });
        reinterpret_cast<float*>(scales_.data())[n] = static_cast<float>(step);
        if (kernel().weight_sums) reinterpret_cast<std::int32_t*>(sums_.data())[n] = sum;
    }

    template <class Value>
    void pack_bias(Value value, std::size_t first_row) {
        if (bias_.size() == 0) bias_ = aligned_buffer{outputs_ * sizeof(float)};
        for (std::size_t n = 0; n < outputs_; ++n) reinterpret_cast<float*>(bias_.data())[n] = value(first_row + n);
    }

    kernel_table const* kernels_{};
    dtype type_{dtype::f32};
    std::size_t outputs_{};
    std::size_t inputs_{};
    aligned_buffer panels_;
    aligned_buffer bias_;
    aligned_buffer scales_;
    aligned_buffer sums_;
};

} // namespace zeroi2v
