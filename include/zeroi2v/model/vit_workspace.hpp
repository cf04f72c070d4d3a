// vit_workspace: the activations of one concurrent forward, one allocation, sized once; and the threads that fill them.
#pragma once

#include <zeroi2v/core/checked.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/nn/block_scratch.hpp>
#include <zeroi2v/nn/op_times.hpp>
#include <zeroi2v/parallel/executor.hpp>
#include <zeroi2v/parallel/thread_team.hpp>
#include <zeroi2v/tensor/aligned_buffer.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace zeroi2v {

/// How large each part of a workspace is, in elements; what the engine asks for.
struct workspace_sizes {
    std::size_t clips{};             ///< V, clips computed together
    std::size_t tokens{};            ///< V*T*N*C floats: the residual stream
    std::size_t wide{};              ///< V*T*N*3C floats, or the patches where those are more
    std::size_t features{};          ///< V*T*C floats
    std::size_t rows{};              ///< rows of a thread's block
    std::size_t narrow{}, adapted{}, hidden{}, rank{}; ///< floats per row of a thread's block
    std::size_t matmul_bytes{};      ///< of a thread
    std::size_t attention{};         ///< floats of a thread

    friend constexpr bool operator==(workspace_sizes const&, workspace_sizes const&) = default;
};

/// Where a forward keeps what it computes. Made by vit_engine::make_workspace; used by one forward at a time.
///
/// Errors  no memory -> resource_error out_of_memory with the bytes wanted.
class vit_workspace {
public:
    /// With a team of its own.
    vit_workspace(workspace_sizes const& sizes, std::size_t threads) : team_{std::in_place, static_cast<int>(threads)} {
        executor_ = &*team_;
        carve(sizes);
    }

    /// With the caller's executor, which must outlive the workspace.
    vit_workspace(workspace_sizes const& sizes, executor& workers) : executor_{&workers} { carve(sizes); }

    vit_workspace(vit_workspace const&) = delete;
    vit_workspace& operator=(vit_workspace const&) = delete;

    [[nodiscard]] executor& workers() noexcept { return *executor_; }
    /// Threads at work; fewer than asked for where the system refused some.
    [[nodiscard]] std::size_t threads() const noexcept { return static_cast<std::size_t>(executor_->concurrency()); }
    [[nodiscard]] std::size_t clips() const noexcept { return sizes_.clips; }
    [[nodiscard]] std::size_t bytes() const noexcept { return buffer_.size(); }
    [[nodiscard]] workspace_sizes const& sizes() const noexcept { return sizes_; }

    [[nodiscard]] float* tokens() noexcept { return tokens_; }                 // (V*T*N,C)
    [[nodiscard]] float* wide() noexcept { return wide_; }                     // (V*T*N,3C): q, k, v; attention's result in place of q
    [[nodiscard]] float* features() noexcept { return features_; }             // (V*T,C)
    [[nodiscard]] std::span<float> attention_scratch() noexcept { return {attention_, sizes_.attention * threads()}; }

    /// From now on forwards add up their seconds, from zero; the cost is some readings of the clock.
    void measure() {
        times_.assign(threads(), op_times{});
        for (std::size_t part = 0; part < threads(); ++part) scratch_[part].times = std::span{times_}.subspan(part, 1);
    }
    /// Where the seconds of each thread are added up; empty until `measure`.
    [[nodiscard]] std::span<op_times> thread_times() noexcept { return times_; }
    /// Seconds of all threads since `measure`, added up; what is missing from threads times wall time was spent waiting.
    [[nodiscard]] per_op_group times() const noexcept {
        per_op_group sum;
        for (op_times const& each : times_) sum += each;
        return sum;
    }

    /// The scratch of one part, for blocks of at most `rows` rows.
    [[nodiscard]] block_scratch scratch(std::size_t part) const noexcept { return scratch_[part]; }

private:
    void carve(workspace_sizes const& sizes) {
        sizes_ = sizes;
        scratch_.resize(threads());
        std::size_t total = 0;
        for_each_piece([&total](auto*& piece, std::size_t count, std::size_t each) {
            auto const elements = checked_mul(count, each);
            auto const bytes = elements ? checked_mul(*elements, sizeof *piece) : std::nullopt;
            auto const padded = bytes ? checked_add<std::size_t>(*bytes, aligned_buffer::alignment - 1) : std::nullopt;
            auto const sum = padded ? checked_add(total, *padded / aligned_buffer::alignment * aligned_buffer::alignment) : std::nullopt;
            if (!sum) throw model_error{error_code::bad_config, "workspace: the number of bytes overflows"};
            total = *sum;
        });
        buffer_ = aligned_buffer::in_large_pages(total);
        std::byte* next = buffer_.data();
        for_each_piece([&next]<class T>(T*& piece, std::size_t count, std::size_t each) {
            piece = reinterpret_cast<T*>(next);
            next += (count * each * sizeof(T) + aligned_buffer::alignment - 1) / aligned_buffer::alignment * aligned_buffer::alignment;
        });
    }

    /// take(pointer, count, each) for every piece of the memory, `count` times `each` elements: the one list of them, in the order in which they lie.
    template <class Take>
    void for_each_piece(Take&& take) {
        take(tokens_, sizes_.tokens, 1);
        take(wide_, sizes_.wide, 1);
        take(features_, sizes_.features, 1);
        for (block_scratch& each : scratch_) {
            each.rows = sizes_.rows;
            take(each.narrow, sizes_.narrow, sizes_.rows);
            take(each.adapted, sizes_.adapted, sizes_.rows);
            take(each.hidden, sizes_.hidden, sizes_.rows);
            take(each.rank, sizes_.rank, sizes_.rows);
            std::byte* matmul = nullptr;
            take(matmul, sizes_.matmul_bytes, 1);
            each.matmul = {matmul, sizes_.matmul_bytes};
        }
        take(attention_, sizes_.attention, scratch_.size());
    }

    std::optional<thread_team> team_;
    executor* executor_{};
    workspace_sizes sizes_;
    aligned_buffer buffer_;
    float *tokens_{}, *wide_{}, *features_{}, *attention_{};
    std::vector<block_scratch> scratch_;
    std::vector<op_times> times_;
};

} // namespace zeroi2v
