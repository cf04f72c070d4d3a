// What every test of an op needs: the kernels that run here, memory between forbidden pages, and the measures of error.
#pragma once

#include <zeroi2v/core/random.hpp>
#include <zeroi2v/dispatch/dispatch.hpp>
#include <zeroi2v/ops/kernel_table.hpp>
#include <zeroi2v/tensor/aligned_buffer.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <new>
#include <span>
#include <string>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

namespace zeroi2v::test {

inline constexpr float infinity = std::numeric_limits<float>::infinity();

/// The kernels of every instruction set that is built and runs here.
inline std::vector<kernel_table const*> tables() {
    std::vector<kernel_table const*> found;
    for (isa const level : built_isas())
        if (supported(level)) found.push_back(&kernels(level));
    return found;
}

/// `count` elements whose first or last byte touches a page that ends the program when read or written.
template <class T>
class guarded {
public:
    enum class end { front, back };

    guarded(std::size_t count, end where) : count_{count} {
        auto const page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
        std::size_t const bytes = std::max<std::size_t>(count * sizeof(T), 1);
        std::size_t const inner = (bytes + page - 1) / page * page;
        mapped_ = inner + 2 * page;
        void* const memory = ::mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) throw std::bad_alloc{};
        base_ = static_cast<std::byte*>(memory);
        if (::mprotect(base_ + page, inner, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc{};
        data_ = reinterpret_cast<T*>(base_ + page + (where == end::back ? inner - count * sizeof(T) : 0));
    }
    guarded(guarded const&) = delete;
    guarded& operator=(guarded const&) = delete;
    ~guarded() { ::munmap(base_, mapped_); }

    T* data() noexcept { return data_; }
    T& operator[](std::size_t i) noexcept { return data_[i]; }
    std::span<T> span() noexcept { return {data_, count_}; }

private:
    std::byte* base_{};
    std::size_t mapped_{};
    std::size_t count_{};
    T* data_{};
};

inline std::vector<float> random_floats(std::size_t count, std::uint64_t seed, float low = -1, float high = 1) {
    counter_rng const rng{seed};
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = low + (high - low) * rng.uniform(i);
    return values;
}
inline std::vector<float> normal_floats(std::size_t count, std::uint64_t seed) {
    counter_rng const rng{seed};
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = rng.normal(i);
    return values;
}
/// Integers in [-limit, limit].
inline std::vector<float> integers(std::size_t count, std::uint64_t seed, int limit) {
    counter_rng const rng{seed};
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i)
        values[i] = static_cast<float>(static_cast<int>(rng.bits(i) % static_cast<unsigned>(2 * limit + 1)) - limit);
    return values;
}

inline constexpr double failed = std::numeric_limits<double>::infinity();

/// A comparison that compared nothing, or mostly zeros, has failed.
inline bool says_something(std::span<float const> got, std::span<double const> want) {
    if (got.size() != want.size() || want.empty()) return false;
    auto const nonzero = std::count_if(want.begin(), want.end(), [](double value) { return value != 0; });
    return 10 * static_cast<std::size_t>(nonzero) >= want.size();
}

/// The largest |got - want| / unit. A NaN, or an infinity that is not expected with this sign, has failed.
inline double max_error(std::span<float const> got, std::span<double const> want, std::function<double(std::size_t)> const& unit) {
    if (!says_something(got, want)) return failed;
    double worst = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
        double const value = static_cast<double>(got[i]);
        if (std::isnan(value) || std::isnan(want[i])) return failed;
        if (std::isinf(value) || std::isinf(want[i])) {
            if (value != want[i]) return failed;
            continue;
        }
        double const error = std::fabs(value - want[i]);
        if (error != 0) worst = std::max(worst, unit(i) > 0 ? error / unit(i) : failed);
    }
    return worst;
}

/// ||got - want|| / ||want||.
inline double relative_l2(std::span<float const> got, std::span<double const> want) {
    if (!says_something(got, want)) return failed;
    double error = 0;
    double norm = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
        double const d = static_cast<double>(got[i]) - want[i];
        error += d * d;
        norm += want[i] * want[i];
    }
    return std::isfinite(error) ? std::sqrt(error / norm) : failed;
}

inline bool same_bits(std::span<float const> a, std::span<float const> b) {
    return !a.empty() && a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

inline std::string name_of(kernel_table const& table) { return std::string{to_string(table.level)}; }

} // namespace zeroi2v::test
