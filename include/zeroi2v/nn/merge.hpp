// merge: adapters multiplied into their linears at run time, in double, with one rounding, and measured afterwards.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/core/rounding.hpp>
#include <zeroi2v/nn/element_matrix.hpp>
#include <zeroi2v/nn/linear.hpp>
#include <zeroi2v/nn/linear_adapter.hpp>
#include <zeroi2v/nn/merge_lines.hpp>
#include <zeroi2v/nn/merge_report.hpp>
#include <zeroi2v/nn/merge_static.hpp>
#include <zeroi2v/parallel/executor.hpp>
#include <zeroi2v/parallel/partition.hpp>
#include <zeroi2v/tensor/extents.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>
#include <zeroi2v/tensor/tensor.hpp>

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zeroi2v {

/// How a merge at run time is done.
struct merge_options {
    std::optional<dtype> type{};     ///< of weight and bias; absent: each in the wider of its own and the adapter's
    executor* threads{};             ///< who does it; absent: the calling thread. The bits do not depend on it.
    std::string_view name{"linear"}; ///< what messages call this linear
};

/// A merged linear and what was measured on it.
template <class Linear>
struct merged_linear {
    Linear linear;
    merge_report report;
};

/// An adapter before some rows of a linear, such as the keys' third of in_proj.
struct adapter_of_rows {
    index_range rows;
    stored_linear_adapter const* adapter{};
};

namespace detail {

// The bias's change: before W (W2 b1 + b2), after W2 (W1 b + b1) + b2; unscaled. Sum chooses precision and order.
template <class Sum>
[[nodiscard]] std::vector<Sum> bias_change(element_matrix const& weight, element_matrix const& bias, index_range rows,
                                           adapter_elements const& adapter, bool is_before) {
    auto const multiply = [](element_matrix const& m, std::size_t first, std::size_t count, std::vector<Sum> const& x) {
        std::vector<Sum> y(count);
        std::vector<double> line(m.columns);
        for (std::size_t r = 0; r < count; ++r) {
            m.load(first + r, 1, line.data());
            Sum sum = 0;
            if constexpr (std::same_as<Sum, double>) {
                for (std::size_t c = 0; c < m.columns; ++c) sum += line[c] * x[c];
            } else {
                for (std::size_t c = m.columns; c-- > 0;) sum += static_cast<Sum>(line[c]) * x[c];
            }
            y[r] = sum;
        }
        return y;
    };
    auto const vector = [](element_matrix const& m) {
        auto const values = load_all(m);
        return std::vector<Sum>(values.begin(), values.end());
    };
    auto const plus = [](std::vector<Sum> a, std::vector<Sum> const& b) {
        for (std::size_t i = 0; i < a.size(); ++i) a[i] += b[i];
        return a;
    };
    auto hidden = vector(adapter.b1);
    if (!is_before) hidden = plus(std::move(hidden), multiply(adapter.w1, 0, adapter.w1.rows, vector(bias)));
    auto const shift = plus(multiply(adapter.w2, 0, adapter.w2.rows, hidden), vector(adapter.b2));
    return is_before ? multiply(weight, rows.begin, rows.size(), shift) : shift;
}

struct merge_part {
    index_range rows; // of the weight; all of them for an adapter after the linear
    adapter_elements adapter;
};

struct merge_operands {
    element_matrix weight, bias;
    std::vector<merge_part> parts; // disjoint rows, ascending
    bool is_before{};
    double scale{};
    element_matrix_out merged_weight, merged_bias;
};

[[noreturn, gnu::cold]] inline void refuse_nonfinite(merge_operands const& o, std::string_view name) {
    std::string what = "a merged element is beyond the largest number of its type";
    auto const look_at = [&what](element_matrix const& m, char const* operand) {
        auto const values = load_all(m);
        if (!std::all_of(values.begin(), values.end(), [](double v) { return is_finite(v); }))
            what = std::string{operand} + " has an element that is not finite";
    };
    for (auto const& [rows, adapter] : o.parts) {
        look_at(adapter.b2, "D_fc2.bias");
        look_at(adapter.w2, "D_fc2.weight");
        look_at(adapter.b1, "D_fc1.bias");
        look_at(adapter.w1, "D_fc1.weight");
    }
    look_at(o.bias, "bias");
    look_at(o.weight, "weight");
    if (!is_finite(o.scale)) what = "the scale is not finite";
    throw checkpoint_error{error_code::nonfinite_merge,
                           std::string{name} + ": merge: " + what + ", finite weights expected"};
}

// gaps(first, last) for the rows of the linear that no adapter changes.
template <class Gaps>
void for_each_gap(merge_operands const& o, Gaps&& gaps) {
    std::size_t next = 0;
    for (merge_part const& part : o.parts) {
        gaps(next, part.rows.begin);
        next = part.rows.end;
    }
    gaps(next, o.weight.rows);
}

// False where something is not finite; then nothing is measured.
template <weight_element Result>
[[nodiscard]] bool merge_weight(merge_operands const& o, executor& threads, bool measured, merge_report& total) {
    bool finite = true;
    for_each_gap(o, [&](std::size_t first, std::size_t last) {
        std::vector<double> line(o.weight.columns);
        for (std::size_t r = first; r < last; ++r) {
            o.weight.load(r, 1, line.data());
            for (std::size_t c = 0; c < line.size(); ++c)
                finite &= put_merged<Result>(o.merged_weight, r, c, line[c], 0, total);
        }
    });
    for (auto const& [rows, adapter] : o.parts) {
        line_merge job{o.is_before ? o.weight : o.weight.transposed(),
                       o.is_before ? o.merged_weight : o.merged_weight.transposed(),
                       o.is_before ? rows : index_range{0, o.weight.columns}, adapter, o.is_before, o.scale};
        std::vector<merge_report> reports(job.blocks());
        std::vector<char> sound(job.blocks(), 1);
        threads.run(static_cast<int>(job.blocks()), [&](int block) {
            auto const b = static_cast<std::size_t>(block);
            sound[b] = job.store<Result>(b, reports[b]) ? 1 : 0;
        });
        finite &= std::all_of(sound.begin(), sound.end(), [](char s) { return s != 0; });
        if (!finite) return false;
        if (measured) {
            job.prepare_measure();
            threads.run(static_cast<int>(job.blocks()), [&](int block) {
                auto const b = static_cast<std::size_t>(block);
                job.measure<Result>(b, reports[b]);
            });
        }
        for (merge_report const& report : reports) total += report;
    }
    return finite;
}

template <weight_element Result>
[[nodiscard]] bool merge_bias(merge_operands const& o, bool measured, merge_report& total) {
    bool finite = true;
    auto const base = load_all(o.bias);
    for_each_gap(o, [&](std::size_t first, std::size_t last) {
        for (std::size_t r = first; r < last; ++r) finite &= put_merged<Result>(o.merged_bias, 0, r, base[r], 0, total);
    });
    for (auto const& [rows, adapter] : o.parts) {
        auto const change = bias_change<double>(o.weight, o.bias, rows, adapter, o.is_before);
        for (std::size_t r = rows.begin; r < rows.end; ++r)
            finite &= put_merged<Result>(o.merged_bias, 0, r, base[r], o.scale * change[r - rows.begin], total);
        if (!finite) return false;
        if (!measured) continue;
        auto const other = bias_change<long double>(o.weight, o.bias, rows, adapter, o.is_before);
        for (std::size_t r = rows.begin; r < rows.end; ++r) {
            auto const expected = static_cast<double>(base[r] + o.scale * other[r - rows.begin]);
            compare_merged<Result>(to_double(o.merged_bias.at<Result>(0, r)), expected, total);
        }
    }
    return finite;
}

[[nodiscard]] inline merge_report run_merge(merge_operands const& o, merge_options const& options, bool measured) {
    serial_executor alone;
    executor& threads = options.threads != nullptr ? *options.threads : alone;
    merge_report report;
    report.elements = o.weight.rows * o.weight.columns + o.bias.columns;
    auto const weight = [&]<class T>(T) { return merge_weight<T>(o, threads, measured, report); };
    auto const bias = [&]<class T>(T) { return merge_bias<T>(o, measured, report); };
    bool const finite = is_finite(o.scale) && with_weight_element(o.merged_weight.type, weight)
                        && with_weight_element(o.merged_bias.type, bias);
    if (!finite) refuse_nonfinite(o, options.name);
    report += merge_report{}; // brings share_unchanged up to date
    return report;
}

// end: the last row of the linear, exclusive, that the adapter stands before.
inline void require_shapes(element_matrix const& weight, element_matrix const& bias, std::size_t end,
                           adapter_elements const& a, bool is_before, std::string_view name) {
    std::size_t const width = is_before ? weight.columns : weight.rows;
    bool const adapter_sound = a.w2.rows == a.w1.columns && a.w2.columns == a.w1.rows && a.b1.columns == a.w1.rows
                               && a.b2.columns == a.w2.rows;
    if (adapter_sound && a.w1.columns == width && bias.columns == weight.rows && end <= weight.rows) return;
    auto const text = [](std::size_t rows, std::size_t columns) { return zeroi2v::to_string(shape{rows, columns}); };
    auto const with_bias = [](std::size_t count) { return " with bias (" + std::to_string(count) + ")"; };
    std::string const expected = std::to_string(width);
    throw model_error{error_code::bad_shape,
                      std::string{name} + ": adapter: D_fc1 " + text(a.w1.rows, a.w1.columns) + with_bias(a.b1.columns)
                          + ", D_fc2 " + text(a.w2.rows, a.w2.columns) + with_bias(a.b2.columns) + " found, D_fc1 (R,"
                          + expected + "), D_fc2 (" + expected + ",R) expected " + (is_before ? "before" : "after")
                          + " a linear " + text(weight.rows, weight.columns) + with_bias(bias.columns)};
}

[[nodiscard]] constexpr dtype wider(adapter_elements const& a) noexcept {
    return wider(wider(a.w1.type, a.b1.type), wider(a.w2.type, a.b2.type));
}

// A stored tensor of this rank and of a type that weights may have.
[[nodiscard]] inline element_matrix checked_elements(stored_tensor const& t, std::size_t rank, std::string_view name,
                                                     char const* what) {
    std::string const at = std::string{name} + ": " + what + ": ";
    if (t.sizes().rank() != rank)
        throw model_error{error_code::bad_shape, at + "shape " + zeroi2v::to_string(t.sizes()) + " found, "
                                                     + std::to_string(rank) + " dimensions expected"};
    if (!is_weight_dtype(t.type()))
        throw checkpoint_error{error_code::unsupported_dtype,
                               at + std::string{dtype_name(t.type())} + " found, F32, F16 or BF16 expected"};
    return elements_of(t);
}

[[nodiscard]] inline adapter_elements checked_elements(stored_linear_adapter const& a, std::string_view name) {
    return {checked_elements(a.D_fc1.weight, 2, name, "D_fc1.weight"),
            checked_elements(a.D_fc1.bias, 1, name, "D_fc1.bias"),
            checked_elements(a.D_fc2.weight, 2, name, "D_fc2.weight"),
            checked_elements(a.D_fc2.bias, 1, name, "D_fc2.bias")};
}

[[nodiscard]] inline merged_linear<stored_linear> merge_stored(
    stored_linear const& layer, std::span<adapter_of_rows const> adapters, bool is_before, double scale,
    merge_options const& options, bool measured) {
    merge_operands o{};
    o.weight = checked_elements(layer.weight, 2, options.name, "weight");
    o.bias = checked_elements(layer.bias, 1, options.name, "bias");
    o.is_before = is_before;
    o.scale = scale;
    dtype weight_type = o.weight.type;
    dtype bias_type = o.bias.type;
    std::size_t end = 0;
    for (auto const& [rows, adapter] : adapters) {
        ZEROI2V_REQUIRE(adapter != nullptr && end <= rows.begin && rows.begin <= rows.end,
                        "zeroi2v::merge: adapters of rows must be given in ascending order, without overlap");
        end = rows.end;
        auto const elements = checked_elements(*adapter, options.name);
        require_shapes(o.weight, o.bias, end, elements, is_before, options.name);
        o.parts.push_back({rows, elements});
        weight_type = wider(weight_type, wider(elements));
        bias_type = wider(bias_type, wider(elements));
    }
    ZEROI2V_REQUIRE(!options.type || is_weight_dtype(*options.type), "zeroi2v::merge: type must be f32, f16 or bf16");
    merged_linear<stored_linear> result{{{options.type.value_or(weight_type), layer.weight.sizes()},
                                         {options.type.value_or(bias_type), layer.bias.sizes()}}, {}};
    o.merged_weight = elements_of(result.linear.weight);
    o.merged_bias = elements_of(result.linear.bias);
    result.report = run_merge(o, options, measured);
    return result;
}

template <class Linear, class Adapter>
using merged_element_t =
    wider_element<typename Linear::weight_t::value_type,
                  wider_element<typename Adapter::down_t::weight_t::value_type,
                                typename Adapter::up_t::weight_t::value_type>>;

template <class Linear, class Adapter>
[[nodiscard]] auto merge_dynamic(Linear const& layer, Adapter const& adapter, bool is_before, double scale,
                                 merge_options const& options, bool measured) {
    using element = merged_element_t<Linear, Adapter>;
    ZEROI2V_REQUIRE(!options.type || *options.type == dtype_of<element>,
                    "zeroi2v::merge: the result's type follows from the arrays' types");
    merge_operands o{};
    o.weight = elements_of(layer.weight);
    o.bias = elements_of(layer.bias);
    o.is_before = is_before;
    o.scale = scale;
    o.parts.push_back({{0, o.weight.rows},
                       {elements_of(adapter.D_fc1.weight), elements_of(adapter.D_fc1.bias),
                        elements_of(adapter.D_fc2.weight), elements_of(adapter.D_fc2.bias)}});
    require_shapes(o.weight, o.bias, o.weight.rows, o.parts[0].adapter, is_before, options.name);
    merged_linear<dynamic_linear<element>> result{
        {dynamic_tensor<element, 2>{o.weight.rows, o.weight.columns}, dynamic_tensor<element, 1>{o.weight.rows}}, {}};
    o.merged_weight = elements_of(result.linear.weight);
    o.merged_bias = elements_of(result.linear.bias);
    result.report = run_merge(o, options, measured);
    return result;
}

} // namespace detail

/// The linear that does what linear and adapter do together, at run time; A = I + scale W2 W1, a = scale (W2 b1 + b2).
///
///   before:  weight W A, bias W a + b        after:  weight A W, bias A b + a
///
/// Shapes    linear (out,in); the adapter's width is in for `before`, out for `after`. Tensors and views of any weight
///           type and strides give a dynamic_linear; stored tensors give stored ones.
/// Numerics  products and sums in double as W + scale (W W2) W1, one rounding to the stored type; an element whose
///           product with the adapter is zero keeps its bits, so scale 0, or W2 = 0 and b2 = 0, gives the linear bit
///           for bit. The same bits for every executor.
/// Errors    shapes that do not fit -> model_error bad_shape with all of them; NaN or infinity in an operand, or a
///           result beyond its type -> checkpoint_error nonfinite_merge. The operands stay as they are.
/// Cost      4 out in R flops in double through Eigen, in blocks of 32 lines: memory beyond the result stays small.
/// Source    ZeroI2V, re-parameterisation.      Test  tests/unit/nn/merge.cpp
template <linear_like Linear, linear_adapter_like Adapter, merge_side Side>
    requires(!(static_linear_like<Linear> && static_linear_adapter_like<Adapter>))
[[nodiscard]] auto merge(Linear const& layer, Adapter const& adapter, Side, double scale,
                         merge_options const& options = {}) {
    return detail::merge_dynamic(layer, adapter, std::same_as<Side, before_t>, scale, options, false).linear;
}
template <merge_side Side>
[[nodiscard]] stored_linear merge(stored_linear const& layer, stored_linear_adapter const& adapter, Side, double scale,
                                  merge_options const& options = {}) {
    std::array<adapter_of_rows, 1> const all{{{{0, layer.bias.count()}, &adapter}}};
    return detail::merge_stored(layer, all, std::same_as<Side, before_t>, scale, options, false).linear;
}

/// The same, and the stored elements read back and compared with the product in another order; see merge_report.
///
/// Cost  8 out in R flops at most; for ViT-B/16 about a quarter more than `merge`.
template <linear_like Linear, linear_adapter_like Adapter, merge_side Side>
[[nodiscard]] auto merge_measured(Linear const& layer, Adapter const& adapter, Side, double scale,
                                  merge_options const& options = {}) {
    return detail::merge_dynamic(layer, adapter, std::same_as<Side, before_t>, scale, options, true);
}
template <merge_side Side>
[[nodiscard]] merged_linear<stored_linear> merge_measured(stored_linear const& layer,
                                                          stored_linear_adapter const& adapter, Side, double scale,
                                                          merge_options const& options = {}) {
    std::array<adapter_of_rows, 1> const all{{{{0, layer.bias.count()}, &adapter}}};
    return detail::merge_stored(layer, all, std::same_as<Side, before_t>, scale, options, true);
}

/// Several adapters before one linear, each before its own rows (in ascending order, without overlap); rows without an
/// adapter keep their values.
[[nodiscard]] inline merged_linear<stored_linear> merge_rows_measured(stored_linear const& layer,
                                                                      std::span<adapter_of_rows const> adapters,
                                                                      double scale, merge_options const& options = {}) {
    return detail::merge_stored(layer, adapters, true, scale, options, true);
}

} // namespace zeroi2v
