// quick_gelu and exp over arrays: every length, special values, error bounds on a dense sample of all floats.
#include <zeroi2v/ops/quick_gelu.hpp>

#include "tables.hpp"

#include <zeroi2v/ops/reference/elementwise.hpp>
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

TEST_CASE("quick_gelu stays within (4 + 2|x|) eps, and has the class of x * sigmoid(1.702 x)") {
    auto const x = sampled_floats();
    for (kernel_table const* table : tables()) {
        std::vector<float> y(x.size());
        table->quick_gelu(x.data(), y.data(), x.size());
        std::size_t wrong = 0;
        for (std::size_t i = 0; i < x.size(); ++i) {
            double const want = reference::quick_gelu(static_cast<double>(x[i]));
            double const got = static_cast<double>(y[i]);
            if (std::isnan(x[i]) || x[i] == -infinity) wrong += std::isnan(got) ? 0U : 1U;
            else if (x[i] == infinity) wrong += got == static_cast<double>(infinity) ? 0U : 1U;
            else {
                double const error = std::fabs(got - want);
                bool const close = error <= (4 + 2 * std::fabs(static_cast<double>(x[i]))) * 0x1p-23 * std::fabs(want);
                wrong += close || (std::fabs(want) < 1e-5 && error <= 2.5e-7) ? 0U : 1U;
            }
        }
        CHECK_MESSAGE(wrong == 0, name_of(*table) << ": " << wrong << " of " << x.size());
    }
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
    auto const x = normal_floats(1100, 1);
    for (kernel_table const* table : tables()) {
        std::vector<float> want(x.size());
        for (std::size_t i = 0; i < x.size(); ++i) table->quick_gelu(&x[i], &want[i], 1);
        for (std::size_t count = 0; count <= x.size(); ++count) {
            auto y = x;
            table->quick_gelu(y.data(), y.data(), count);
            bool equal = count == 0 || same_bits(std::span{y}.first(count), std::span{want}.first(count));
            equal = equal && (count == x.size() || same_bits(std::span{y}.subspan(count), std::span{x}.subspan(count)));
            CHECK(equal);
        }
        for (std::size_t count = 1; count < 40; ++count)
            for (auto const where : {guarded<float>::end::front, guarded<float>::end::back}) {
                guarded<float> in{count, where}, out{count, where};
                std::copy_n(x.begin(), count, in.data());
                table->quick_gelu(in.data(), out.data(), count);
                CHECK(same_bits(out.span(), std::span{want}.first(count)));
                table->exp(in.data(), out.data(), count);
            }
        for (int const threads : {1, 2, 5, 64}) {
            thread_team team{threads};
            std::vector<float> y(x.size());
            quick_gelu(*table, team, x, y);
            CHECK(same_bits(y, want));
            CHECK_THROWS_AS(quick_gelu(*table, team, x, std::span{y}.first(5)), precondition_error);
        }
    }
}

TEST_CASE("quick_gelu refuses a result that is longer or shorter, and writes nothing") {
    serial_executor serial;
    std::vector<float> const x(5, 1.0F);
    std::vector<float> y(6, -1.0F);
    for (std::size_t const length : {4U, 6U})
        CHECK_THROWS_WITH_AS(quick_gelu(*tables().front(), serial, x, std::span{y}.first(length)), "zeroi2v::quick_gelu: y must be as long as x", precondition_error);
    CHECK(y == std::vector<float>(6, -1.0F));
}
