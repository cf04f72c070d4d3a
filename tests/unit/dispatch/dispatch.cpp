// dispatch: the kernels of each instruction set by name, refused where they cannot run.
#include <zeroi2v/dispatch/dispatch.hpp>

#include <zeroi2v/core/error.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <string>

using namespace zeroi2v;

namespace {

/// ZEROI2V_ISA for the time of a scope.
class forced_isa {
public:
    explicit forced_isa(char const* name) {
        if (char const* const value = std::getenv("ZEROI2V_ISA")) before_ = value;
        ::setenv("ZEROI2V_ISA", name, 1);
    }
    ~forced_isa() {
        if (before_.empty()) ::unsetenv("ZEROI2V_ISA");
        else ::setenv("ZEROI2V_ISA", before_.c_str(), 1);
    }
    forced_isa(forced_isa const&) = delete;
    forced_isa& operator=(forced_isa const&) = delete;

private:
    std::string before_;
};

} // namespace

TEST_CASE("names of instruction sets") {
    for (int i = 0; i < isa_count; ++i) {
        auto const level = static_cast<isa>(i);
        CHECK(isa_from_name(to_string(level)) == level);
    }
    CHECK(isa_from_name("AVX2") == std::nullopt);
    CHECK(isa_from_name("avx") == std::nullopt);
    CHECK(isa_from_name("") == std::nullopt);
}

TEST_CASE("every built instruction set has its table, or a reason") {
    auto const built = built_isas();
    REQUIRE_FALSE(built.empty());
    CHECK(built.front() == isa::sse2);
    CHECK(std::is_sorted(built.begin(), built.end()));
    CHECK(supported(isa::sse2));
    for (int i = 0; i < isa_count; ++i) {
        auto const level = static_cast<isa>(i);
        bool const here = std::find(built.begin(), built.end(), level) != built.end() && supported(level);
        if (here) {
            CHECK(kernels(level).level == level);
            CHECK(kernels(level).matmul(dtype::f32) == &kernels(level).f32);
            CHECK(kernels(level).matmul(dtype::f16) == nullptr);
            continue;
        }
        try {
            static_cast<void>(kernels(level));
            FAIL("an instruction set that cannot run was given");
        } catch (device_error const& failure) {
            CHECK(failure.code() == error_code::isa_unavailable);
            CHECK(failure.exit_status() == 8);
            CHECK(std::string{failure.what()}.find(to_string(level)) != std::string::npos);
        }
    }
}

TEST_CASE("an instruction set includes those before it; the best is the last that runs") {
    for (int i = 1; i < isa_count; ++i)
        if (supported(static_cast<isa>(i))) CHECK(supported(static_cast<isa>(i - 1)));
    isa best = isa::sse2;
    for (isa const level : built_isas())
        if (supported(level)) best = level;
    CHECK(best_kernels().level == best);
}

TEST_CASE("the environment chooses") {
    {
        forced_isa const unset{""};
        CHECK(&kernels_from_environment() == &best_kernels());
    }
    for (isa const level : built_isas())
        if (supported(level)) {
            forced_isa const forced{to_string(level).data()};
            CHECK(kernels_from_environment().level == level);
        }
    for (char const* const name : {"avx9", "AVX2", "sse2 ", "neon"}) {
        forced_isa const wrong{name};
        CHECK_THROWS_AS(static_cast<void>(kernels_from_environment()), usage_error);
    }
    for (int i = 0; i < isa_count; ++i) {
        auto const level = static_cast<isa>(i);
        if (supported(level)) continue;
        forced_isa const absent{to_string(level).data()};
        CHECK_THROWS_AS(static_cast<void>(kernels_from_environment()), device_error);
    }
}

TEST_CASE("a table's layouts hold together") {
    for (isa const level : built_isas()) {
        if (!supported(level)) continue;
        kernel_table const& table = kernels(level);
        for (dtype const type : {dtype::f32, dtype::bf16, dtype::i8}) {
            matmul_kernel const& kernel = *table.matmul(type);
            CHECK((kernel.row_tile > 0 && kernel.panel_width > 0 && kernel.group > 0));
            CHECK((kernel.prepare_rows == nullptr) == (kernel.activation_bytes == 0));
            for (std::size_t const k : {std::size_t{0}, std::size_t{1}, std::size_t{17}, std::size_t{768}}) {
                CHECK(kernel.padded_k(k) >= k);
                CHECK(kernel.padded_k(k) % kernel.group == 0);
                CHECK(kernel.panel_bytes(k) == kernel.padded_k(k) * kernel.panel_width * kernel.weight_bytes);
                CHECK(kernel.padded_k(k) % kernel.k_multiple == 0);
                if (kernel.activation_bytes != 0) CHECK(kernel.prepared_stride(k) * kernel.activation_bytes % 64 == 0);
            }
            CHECK((kernel.dot_loop == nullptr) == (kernel.activation_bytes == 0));
            if (kernel.dot_loop != nullptr) CHECK(kernel.dot_loop(1000) >= 1000);
        }
        if (level == isa::amx) CHECK((table.bf16.k_multiple == 32 && table.i8.k_multiple == 64)); // tiles, from every compiler
        CHECK(table.fma_loop(1000) >= 1000);
    }
}
