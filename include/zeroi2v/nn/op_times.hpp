// op_times: where the time of a forward goes, by groups of operations.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string_view>

namespace zeroi2v {

/// The groups of operations that a forward consists of; `head` is ln_post, the average and fc_cls.
enum class op_group : std::uint8_t { patches, norms, qkv, attention, proj, mlp, adapters, head };

inline constexpr std::array all_op_groups{op_group::patches, op_group::norms, op_group::qkv, op_group::attention,
                                          op_group::proj, op_group::mlp, op_group::adapters, op_group::head};

[[nodiscard]] constexpr std::string_view to_string(op_group group) noexcept {
    constexpr std::array<std::string_view, all_op_groups.size()> names{"patches", "norms", "qkv", "attention", "proj", "mlp", "adapters", "head"};
    return names[static_cast<std::size_t>(group)];
}

/// One number per group.
class per_op_group {
public:
    [[nodiscard]] constexpr double& operator[](op_group group) noexcept { return values_[static_cast<std::size_t>(group)]; }
    [[nodiscard]] constexpr double operator[](op_group group) const noexcept { return values_[static_cast<std::size_t>(group)]; }
    [[nodiscard]] constexpr double total() const noexcept { return std::accumulate(values_.begin(), values_.end(), 0.0); }

    constexpr per_op_group& operator+=(per_op_group const& other) noexcept {
        for (op_group const group : all_op_groups) (*this)[group] += other[group];
        return *this;
    }

private:
    std::array<double, all_op_groups.size()> values_{};
};

/// Seconds that one thread spent; a cache line of its own.
struct alignas(64) op_times : per_op_group {};

/// Adds the time from its construction to its end to one group of each of `times`: of one thread, or of all that do it together.
/// Does nothing where there are none.
///
/// Cost  two readings of the clock, tens of nanoseconds each.
class op_timer {
public:
    op_timer(std::span<op_times> times, op_group group) noexcept : times_{times}, group_{group} {
        if (!times_.empty()) start_ = clock::now();
    }
    op_timer(op_timer const&) = delete;
    op_timer& operator=(op_timer const&) = delete;
    ~op_timer() {
        if (times_.empty()) return;
        double const seconds = std::chrono::duration<double>(clock::now() - start_).count();
        for (op_times& each : times_) each[group_] += seconds;
    }

private:
    using clock = std::chrono::steady_clock;
    std::span<op_times> times_;
    op_group group_;
    clock::time_point start_{};
};

} // namespace zeroi2v
