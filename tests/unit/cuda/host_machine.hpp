// host_machine: a machine for basic_engine without a device: kernels in emulated blocks, products in plain loops, copies as late as allowed.
#pragma once

#include "host_block.hpp"

#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/core/rounding.hpp>
#include <zeroi2v/cuda/basic_engine.hpp>
#include <zeroi2v/cuda/device_info.hpp>
#include <zeroi2v/cuda/product_shape.hpp>
#include <zeroi2v/tensor/aligned_buffer.hpp>

#include <cstddef>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace cuda_test {

/// d = a w^T (+ bias) (+ c) for elements In and Out: the double sum, rounded once.
template <class In, class Out>
void plain_product(zeroi2v::product_shape const& s, zeroi2v::product_operands const& o) {
    using zeroi2v::to_double;
    auto const* const a = static_cast<In const*>(o.a);
    auto const* const w = static_cast<In const*>(o.w);
    auto const* const bias = static_cast<Out const*>(o.bias);
    auto const* const c = static_cast<Out const*>(o.c);
    auto* const d = static_cast<Out*>(o.d);
    std::vector<double> row(s.inputs);
    for (std::size_t m = 0; m < s.rows; ++m) {
        for (std::size_t k = 0; k < s.inputs; ++k) row[k] = to_double(a[m * s.lda + k]);
        for (std::size_t n = 0; n < s.outputs; ++n) {
            double sum = s.bias ? to_double(bias[n]) : 0;
            for (std::size_t k = 0; k < s.inputs; ++k) sum += row[k] * to_double(w[n * s.inputs + k]);
            if (s.add) sum += to_double(c[m * s.ldc + n]);
            d[m * s.ldd + n] = zeroi2v::round_to<Out>(sum);
        }
    }
}

inline void plain_product(zeroi2v::product_shape const& s, zeroi2v::product_operands const& o) {
    zeroi2v::detail::with_device_element(s.in, [&]<class In>(In) {
        if (s.out == s.in) plain_product<In, In>(s, o);
        else plain_product<In, float>(s, o);
    });
}

class host_machine {
public:
    static inline schedule order{};              ///< of every block
    static inline std::size_t memory_limit = ~std::size_t{};

    /// Memory full of NaN: what is read before it is written shows.
    class memory {
    public:
        explicit memory(std::size_t bytes) : buffer_{bytes + 256} { std::memset(buffer_.data(), 0xff, buffer_.size()); }
        [[nodiscard]] std::byte* data() const noexcept { return const_cast<std::byte*>(buffer_.data()); }

    private:
        zeroi2v::aligned_buffer buffer_;
    };
    using pinned = memory;

    /// Work is done when somebody waits for it, not before: pinned memory that is written too early shows.
    class queue {
    public:
        template <class Kernel>
        void launch(std::size_t blocks, unsigned threads, std::size_t shared_bytes, typename Kernel::arguments const& arguments) {
            put([=] { run_kernel<Kernel>(blocks, threads, shared_bytes, arguments, order); });
        }
        void product(zeroi2v::product_shape const& shape, zeroi2v::product_operands const& operands) {
            put([=] { plain_product(shape, operands); });
        }
        template <class Record>
        void replay(std::size_t key, Record&& record) {
            auto const found = graphs_.find(key);
            if (found == graphs_.end()) {
                recording_ = true;
                record();
                recording_ = false;
                graphs_[key] = std::exchange(recorded_, {});
                ++recordings;
            }
            for (auto const& task : graphs_[key]) tasks_.push_back(task);
        }
        void copy_in(void* to, void const* from, std::size_t bytes, std::size_t slot) {
            if (uploads_[slot] != 0) throw std::runtime_error{"an upload's slot is used before it is awaited"};
            put([=] { std::memcpy(to, from, bytes); });
        }
        void uploaded(std::size_t slot) {
            ++uploads_[slot];
            put([this, slot] { --uploads_[slot]; });
        }
        void await_upload(std::size_t slot) {
            while (uploads_[slot] != 0) step();
        }
        void copy_out(void* to, void const* from, std::size_t bytes, std::size_t slot) {
            ++results_[slot];
            put([=, this] { std::memcpy(to, from, bytes); --results_[slot]; });
        }
        void await_result(std::size_t slot) {
            while (results_[slot] != 0) step();
        }

        std::size_t recordings = 0;

    private:
        void put(std::function<void()> task) { recording_ ? recorded_.push_back(std::move(task)) : tasks_.push_back(std::move(task)); }
        void step() {
            if (tasks_.empty()) throw std::runtime_error{"waiting for work that was never asked for"};
            auto const task = std::move(tasks_.front());
            tasks_.pop_front();
            task();
        }

        bool recording_ = false;
        std::vector<std::function<void()>> recorded_;
        std::deque<std::function<void()>> tasks_;
        std::map<std::size_t, std::vector<std::function<void()>>> graphs_;
        int uploads_[2]{}, results_[2]{};
    };

    host_machine(int device, bool) { info_.index = device; }

    [[nodiscard]] zeroi2v::device_info const& info() const noexcept { return info_; }
    void activate() const {}
    [[nodiscard]] std::size_t scratch_bytes() const noexcept { return 1000; }
    [[nodiscard]] memory allocate(std::size_t bytes, char const* what) const {
        if (bytes > memory_limit) throw zeroi2v::detail::device_memory_error("allocate", what, bytes, memory_limit);
        return memory{bytes};
    }
    [[nodiscard]] pinned allocate_pinned(std::size_t bytes) const { return memory{bytes}; }
    void upload(void* to, std::span<std::byte const> bytes) const { std::memcpy(to, bytes.data(), bytes.size()); }
    [[nodiscard]] queue make_queue(std::byte*, std::size_t) const { return {}; }

private:
    zeroi2v::device_info info_{.index = 0, .name = "emulated", .major = 8, .minor = 0};
};

template <class Adapters>
using host_engine = zeroi2v::detail::basic_engine<Adapters, host_machine>;

} // namespace cuda_test
