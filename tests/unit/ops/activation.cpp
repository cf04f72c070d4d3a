// Activations and exp over arrays: every length, special values, error bounds on a dense sample of all floats.
#include <zeroi2v/ops/activation.hpp>

#include "activations.hpp"
#include "tables.hpp"

#include <zeroi2v/parallel/thread_team.hpp>

#include <bit>

using namespace zeroi2v;
using namespace zeroi2v::test;

namespace {

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

/// Every 4099th float: 1 047 809 of them, all exponents and both signs, NaNs and infinities.
std::vector<float> sampled_floats() {
    std::vector<float> all;
    for (std::uint64_t word = 0; word <= 0xffffffffU; word += 4099) all.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(word)));
    for (float const value : {0.0F, -0.0F, infinity, -infinity, not_a_number, 88.7F, -88.7F, 88.8F, 104.0F, -104.0F, 1e30F, -1e30F}) all.push_back(value);
    return all;
}

} // namespace

TEST_CASE("every activation has a name, and only those have") {
    CHECK(activation_count >= 2);
    for (activation const act : all_activations()) CHECK(activation_from_name(to_string(act)) == act);
    CHECK(to_string(activation::quick_gelu) == "quick_gelu");
    CHECK(static_cast<std::size_t>(activation::none) == 0); // what is not stated
    for (char const* const unknown : {"", "?", "Quick_gelu", "quick_gel", "quick_gelu "}) CHECK_FALSE(activation_from_name(unknown));
}

TEST_CASE("every activation and its derivative stay within their bounds, and have the class of the formula") {
    auto const x = sampled_floats();
    std::vector<float> const ones(x.size(), 1.0F);
    for (activation const act : all_activations())
        for (kernel_table const* table : tables()) {
            std::vector<float> y(x.size()), slope(x.size());
            table->of(act).forward(x.data(), y.data(), x.size());
            table->of(act).backward(x.data(), ones.data(), slope.data(), x.size());
            double worst = 0, worst_slope = 0;
            std::size_t wrong = 0;
            for (std::size_t i = 0; i < x.size(); ++i) {
                double const error = value_error(act, x[i], y[i]), slope_error = derivative_error(act, x[i], slope[i]);
                worst = std::max(worst, error);
                worst_slope = std::max(worst_slope, slope_error);
                wrong += error <= 1 && slope_error <= 1 ? 0U : 1U;
            }
            CHECK_MESSAGE(wrong == 0, name_of(*table) << " " << to_string(act) << ": " << wrong << " of " << x.size());
            MESSAGE(name_of(*table) << " " << to_string(act) << ": " << worst << " of the bound, the derivative " << worst_slope);
        }
}

TEST_CASE("the judgement of activations fails what is beside its bound or of another class") {
    double const limit = (4 + 2.0) * 0x1p-23 * reference::activate(activation::quick_gelu, 1);
    auto const off_by = [&](double part) { return static_cast<float>(reference::activate(activation::quick_gelu, 1) + part * limit); };
    CHECK(value_error(activation::quick_gelu, 1, off_by(0.9)) <= 1);
    CHECK(value_error(activation::quick_gelu, 1, off_by(1.2)) > 1);
    CHECK(value_error(activation::quick_gelu, -30, 3e-7F) > 1);
    CHECK(value_error(activation::quick_gelu, 1, not_a_number) == failed);
    CHECK(value_error(activation::quick_gelu, 3e38F, infinity) == failed);
    CHECK(value_error(activation::quick_gelu, infinity, 1) == failed);
    CHECK(value_error(activation::quick_gelu, -infinity, -0.0F) == failed);
    CHECK(value_error(activation::quick_gelu, not_a_number, 1) == failed);
    CHECK(derivative_error(activation::quick_gelu, 0, 0.5F + 0x1p-21F) <= 1);
    CHECK(derivative_error(activation::quick_gelu, 0, 0.5F + 0x1.8p-21F) > 1);
    CHECK(derivative_error(activation::quick_gelu, 20, 1 + 2e-6F) > 1);
    CHECK(derivative_error(activation::quick_gelu, infinity, 1) == failed);
}

TEST_CASE("exp is within 2 ulp, subnormal results included") {
    auto const x = sampled_floats();
    for (kernel_table const* table : tables()) {
        std::vector<float> y(x.size());
        table->exp(x.data(), y.data(), x.size());
        std::size_t wrong = 0;
        double worst = 0;
        for (std::size_t i = 0; i < x.size(); ++i) {
            if (std::isnan(x[i])) {
                wrong += std::isnan(y[i]) ? 0U : 1U;
                continue;
            }
            double const want = std::exp(static_cast<double>(x[i]));
            float const rounded = static_cast<float>(want);
            if (std::isinf(rounded) || std::isinf(y[i])) {
                wrong += y[i] == rounded ? 0U : 1U;
                continue;
            }
            double const ulp = std::max(std::ldexp(1.0, std::ilogb(std::max(want, 0x1p-126)) - 23), 0x1p-149);
            double const error = std::fabs(static_cast<double>(y[i]) - want) / ulp;
            worst = std::max(worst, error);
            wrong += error > 2 ? 1U : 0U;
        }
        CHECK_MESSAGE(wrong == 0, name_of(*table) << ": " << wrong << " of " << x.size());
        MESSAGE(name_of(*table) << ": exp off by at most " << worst << " ulp");
        float const special[] = {0.0F, -0.0F, infinity, -infinity, not_a_number, 89.0F, -104.0F};
        float result[7];
        table->exp(special, result, 7);
        CHECK((result[0] == 1 && result[1] == 1 && result[2] == infinity && result[3] == 0 && std::isnan(result[4])
               && result[5] == infinity && result[6] == 0));
    }
}

TEST_CASE("arrays of every length from 0 to 1100, in place and anywhere in memory, element by element the same bits") {
    auto const x = normal_floats(1100, 1), dy = normal_floats(1100, 2);
    for (activation const act : all_activations())
        for (kernel_table const* table : tables()) {
            activation_kernel const& kernel = table->of(act);
            std::vector<float> want(x.size()), want_slope(x.size());
            for (std::size_t i = 0; i < x.size(); ++i) {
                kernel.forward(&x[i], &want[i], 1);
                kernel.backward(&x[i], &dy[i], &want_slope[i], 1);
            }
            for (std::size_t count = 0; count <= x.size(); ++count) {
                auto y = x, dx = dy;
                kernel.forward(y.data(), y.data(), count);
                kernel.backward(x.data(), dx.data(), dx.data(), count);
                bool equal = count == 0 || (same_bits(std::span{y}.first(count), std::span{want}.first(count))
                                            && same_bits(std::span{dx}.first(count), std::span{want_slope}.first(count)));
                equal = equal && (count == x.size() || (same_bits(std::span{y}.subspan(count), std::span{x}.subspan(count))
                                                        && same_bits(std::span{dx}.subspan(count), std::span{dy}.subspan(count))));
                CHECK(equal);
            }
            for (std::size_t count = 1; count < 40; ++count)
                for (auto const where : {guarded<float>::end::front, guarded<float>::end::back}) {
                    guarded<float> in{count, where}, gradient{count, where}, out{count, where};
                    std::copy_n(x.begin(), count, in.data());
                    std::copy_n(dy.begin(), count, gradient.data());
                    kernel.forward(in.data(), out.data(), count);
                    CHECK(same_bits(out.span(), std::span{want}.first(count)));
                    kernel.backward(in.data(), gradient.data(), out.data(), count);
                    CHECK(same_bits(out.span(), std::span{want_slope}.first(count)));
                    table->exp(in.data(), out.data(), count);
                }
            for (int const threads : {1, 2, 5, 64}) {
                thread_team team{threads};
                std::vector<float> y(x.size());
                activate(*table, team, act, x, y);
                CHECK(same_bits(y, want));
                CHECK_THROWS_AS(activate(*table, team, act, x, std::span{y}.first(5)), precondition_error);
            }
        }
}

TEST_CASE("quick_gelu is the activation of that name") {
    serial_executor serial;
    auto const x = normal_floats(37, 3);
    for (kernel_table const* table : tables()) {
        std::vector<float> y(x.size()), want(x.size());
        quick_gelu(*table, serial, x, y);
        activate(*table, serial, activation::quick_gelu, x, want);
        CHECK(same_bits(y, want));
        activate(*table, serial, activation::none, x, want);
        CHECK(same_bits(x, want));
    }
}

TEST_CASE("activate refuses a result that is longer or shorter, and writes nothing") {
    serial_executor serial;
    std::vector<float> const x(5, 1.0F);
    std::vector<float> y(6, -1.0F);
    for (std::size_t const length : {4U, 6U})
        CHECK_THROWS_WITH_AS(activate(*tables().front(), serial, activation::quick_gelu, x, std::span{y}.first(length)), "zeroi2v::activate: y must be as long as x",
                             precondition_error);
    CHECK(y == std::vector<float>(6, -1.0F));
}
