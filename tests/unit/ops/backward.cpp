// The kernels of training: gradients of layer_norm, softmax and activations against double, at every width.
#include "tables.hpp"

#include <array>

using namespace zeroi2v;
using namespace zeroi2v::test;

namespace {

std::vector<double> layer_norm_gradient(std::vector<float> const& x, std::vector<float> const& weight, std::vector<float> const& dy,
                                        std::vector<float> const& residual, std::size_t width) {
    std::vector<double> dx(x.size());
    auto const n = static_cast<double>(width);
    for (std::size_t row = 0; row < x.size(); row += width) {
        double mean = 0, variance = 0, sum = 0, products = 0;
        for (std::size_t c = 0; c < width; ++c) mean += static_cast<double>(x[row + c]) / n;
        for (std::size_t c = 0; c < width; ++c) variance += std::pow(static_cast<double>(x[row + c]) - mean, 2) / n;
        double const s = std::sqrt(variance + 1e-5);
        auto const g = [&](std::size_t c) { return static_cast<double>(dy[row + c]) * static_cast<double>(weight[c]); };
        auto const normal = [&](std::size_t c) { return (static_cast<double>(x[row + c]) - mean) / s; };
        for (std::size_t c = 0; c < width; ++c) {
            sum += g(c) / n;
            products += g(c) * normal(c) / n;
        }
        for (std::size_t c = 0; c < width; ++c) dx[row + c] = static_cast<double>(residual[row + c]) + (g(c) - sum - normal(c) * products) / s;
    }
    return dx;
}

} // namespace

TEST_CASE("layer_norm_backward of every width from 1 to 200, and of the models' widths") {
    double worst = 0;
    std::vector<std::size_t> widths{768, 1024, 1100};
    for (std::size_t width = 1; width <= 200; ++width) widths.push_back(width);
    for (std::size_t const width : widths) {
        auto const x = normal_floats(3 * width, width), dy = normal_floats(3 * width, width + 1), residual = normal_floats(3 * width, width + 2);
        auto const weight = random_floats(width, width + 3, 0.5F, 1.5F);
        auto const want = layer_norm_gradient(x, weight, dy, residual, width);
        for (kernel_table const* table : tables()) {
            guarded<float> from{3 * width, guarded<float>::end::back}, to{3 * width, guarded<float>::end::back};
            std::copy(x.begin(), x.end(), from.data());
            std::copy(residual.begin(), residual.end(), to.data());
            table->layer_norm_backward({from.data(), width, weight.data(), dy.data(), width, to.data(), width, to.data(), width, 3, width, 1e-5F});
            double const error = relative_l2(to.span(), want);
            worst = std::max(worst, error);
            CHECK_MESSAGE(error <= 1e-6, name_of(*table) << " width " << width << ": " << error);
        }
    }
    MESSAGE("layer_norm_backward: relative L2 " << worst);
}

TEST_CASE("layer_norm_backward without a residual, in place of dy") {
    std::size_t const width = 19;
    auto const x = normal_floats(2 * width, 1), dy = normal_floats(2 * width, 2);
    std::vector<float> const weight(width, 1.25F), none(2 * width, 0.0F);
    for (kernel_table const* table : tables()) {
        auto in_place = dy;
        table->layer_norm_backward({x.data(), width, weight.data(), in_place.data(), width, nullptr, 0, in_place.data(), width, 2, width, 1e-5F});
        CHECK(relative_l2(in_place, layer_norm_gradient(x, weight, dy, none, width)) <= 1e-6);
    }
}

TEST_CASE("softmax_backward of every width from 1 to 200") {
    double worst = 0;
    for (std::size_t width = 1; width <= 200; ++width)
        for (kernel_table const* table : tables()) {
            auto const dp = normal_floats(3 * width, width);
            auto p = normal_floats(3 * width, width + 1);
            table->softmax({p.data(), width, p.data(), width, 3, width});
            std::vector<double> want(3 * width);
            for (std::size_t row = 0; row < want.size(); row += width) {
                double sum = 0;
                for (std::size_t c = 0; c < width; ++c) sum += static_cast<double>(p[row + c]) * static_cast<double>(dp[row + c]);
                for (std::size_t c = 0; c < width; ++c) want[row + c] = static_cast<double>(p[row + c]) * (static_cast<double>(dp[row + c]) - sum);
            }
            auto got = dp;
            table->softmax_backward({p.data(), width, got.data(), width, got.data(), width, 3, width});
            if (width == 1) {
                CHECK(std::all_of(got.begin(), got.end(), [](float value) { return std::fabs(value) < 1e-6F; }));
                continue;
            }
            double const error = relative_l2(got, want);
            worst = std::max(worst, error);
            CHECK_MESSAGE(error <= 1e-6, name_of(*table) << " width " << width << ": " << error);
        }
    MESSAGE("softmax_backward: relative L2 " << worst);
}

TEST_CASE("quick_gelu backward over float's range, and at every length") {
    auto const derivative = [](double x) {
        double const s = 1 / (1 + std::exp(-1.702 * x));
        return s + 1.702 * x * s * (1 - s);
    };
    for (kernel_table const* table : tables()) {
        double worst = 0;
        for (std::size_t count = 1; count <= 65; ++count) {
            auto const x = random_floats(count, count, -12, 12), dy = normal_floats(count, count + 1);
            auto got = dy;
            table->of(activation::quick_gelu).backward(x.data(), got.data(), got.data(), count);
            for (std::size_t i = 0; i < count; ++i)
                worst = std::max(worst, std::fabs(static_cast<double>(got[i]) - static_cast<double>(dy[i]) * derivative(static_cast<double>(x[i]))) / std::max(1.0, std::fabs(static_cast<double>(dy[i]))));
        }
        CHECK_MESSAGE(worst <= 1e-6, name_of(*table) << ": " << worst);
        std::array<float, 6> const far{-3e38F, -1e4F, -0.0F, 0.0F, 1e4F, 3e38F};
        std::array<float, 6> const ones{1, 1, 1, 1, 1, 1};
        std::array<float, 6> got{};
        table->of(activation::quick_gelu).backward(far.data(), ones.data(), got.data(), far.size());
        CHECK(got == std::array<float, 6>{0, 0, 0.5F, 0.5F, 1, 1});
    }
}
