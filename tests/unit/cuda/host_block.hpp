// host_block: a thread block on the host. Each lane is a fiber; barriers, shuffles and tensor core products switch between them.
#pragma once

#include <zeroi2v/core/float16.hpp>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define ZEROI2V_TEST_OWN_SWITCH 1
#else
#define ZEROI2V_TEST_OWN_SWITCH 0
#include <ucontext.h>
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

namespace cuda_test {

/// In which of the orders that a device may choose the emulation works. A kernel without races gives the same bits under all.
struct schedule {
    bool descending = false;  ///< the last lane runs first after each barrier
    bool late_copies = true;  ///< an asynchronous copy happens when it is waited for, else when it is asked for
};
inline constexpr schedule schedules[]{{false, true}, {true, true}, {false, false}, {true, false}};

/// Runs the lanes of a block until all have ended. A kernel that does what a device forbids makes `run` throw: lanes of a warp at
/// different collectives, a barrier that some never reach, a copy that nobody waits for, an address that is not aligned.
///
/// It does not see: a barrier that is missing between lanes of one warp that meet in a shuffle, since here a shuffle orders memory too;
/// bank conflicts; how a device rounds within a product of tensor cores.
class block_runner {
public:
    class lane_view;

    block_runner(unsigned threads, std::size_t shared_bytes, schedule order)
        : order_{order}, lanes_(threads), warps_((threads + 31) / 32), shared_bytes_{shared_bytes},
          shared_{static_cast<std::byte*>(::operator new(shared_bytes + 128, std::align_val_t{128}))} {
        if (threads == 0 || threads % 32 != 0 || threads > 1024) throw std::runtime_error{"a block of " + std::to_string(threads) + " threads"};
        for (lane& each : lanes_) each.stack.reset(new std::byte[stack_bytes]);
    }

    /// body(block) for every lane of block `index`.
    template <class Body>
    void run(unsigned index, Body&& body);

private:
    friend class lane_view;
    static constexpr std::size_t stack_bytes = std::size_t{96} << 10;

#if ZEROI2V_TEST_OWN_SWITCH
    using position_t = void*;
#else
    using position_t = ucontext_t;
#endif
    struct copy {
        void* to;
        void const* from;
        bool valid;
    };
    struct lane {
        position_t position{};
        std::unique_ptr<std::byte[]> stack;
        bool done = false;
        unsigned block_generation = 0, warp_generation = 0; ///< that it waits to pass
        bool at_barrier = false, at_collective = false;
        std::vector<std::vector<copy>> groups;              ///< committed, oldest first
        std::vector<copy> open;
        unsigned parity = 0;
    };
    struct deposit {
        std::uint32_t words[6]{};
        void const* address{};
        float c[4]{};
        std::uint32_t result[4]{};
    };
    struct warp {
        unsigned arrived = 0, generation = 0;
        char const* collective = nullptr;
        deposit slots[2][32];
    };
    struct release_shared {
        void operator()(std::byte* bytes) const noexcept { ::operator delete(bytes, std::align_val_t{128}); }
    };

#if ZEROI2V_TEST_OWN_SWITCH
    /// Keeps what a call keeps, and goes on where `to` was left: a hundredth of swapcontext's time, which asks the kernel twice.
    [[gnu::naked, gnu::noinline]] static void switch_stack(void** /*from*/, void* /*to*/) {
        asm volatile("pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
                     "movq %rsp, (%rdi)\n movq %rsi, %rsp\n"
                     "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret\n");
    }
    static inline thread_local block_runner* starting = nullptr;
    static void begin() { start(starting); }

    void prepare(lane& each) {
        auto const top = (reinterpret_cast<std::uintptr_t>(each.stack.get()) + stack_bytes) / 16 * 16;
        auto* const words = reinterpret_cast<std::uintptr_t*>(top) - 2; // where `begin` finds the stack as after a call
        words[1] = 0;
        words[0] = reinterpret_cast<std::uintptr_t>(&block_runner::begin);
        for (int i = 1; i <= 6; ++i) words[-i] = 0;
        each.position = words - 6;
    }
    void enter(std::size_t at) {
        current_ = at;
        starting = this;
        switch_stack(&scheduler_, lanes_[at].position);
    }
    void leave(std::size_t at) { switch_stack(&lanes_[at].position, scheduler_); }
#else
    void prepare(lane& each) {
        auto const self = reinterpret_cast<std::uintptr_t>(this);
        getcontext(&each.position);
        each.position.uc_stack.ss_sp = each.stack.get();
        each.position.uc_stack.ss_size = stack_bytes;
        each.position.uc_link = nullptr;
        makecontext(&each.position, reinterpret_cast<void (*)()>(&block_runner::begin), 2, static_cast<unsigned>(self >> 32), static_cast<unsigned>(self));
    }
    static void begin(unsigned high, unsigned low) { start(reinterpret_cast<block_runner*>(std::uintptr_t{high} << 32 | low)); }
    void enter(std::size_t at) {
        current_ = at;
#ifdef __SANITIZE_ADDRESS__
        void* fake = nullptr;
        __sanitizer_start_switch_fiber(&fake, lanes_[at].stack.get(), stack_bytes);
        swapcontext(&scheduler_, &lanes_[at].position);
        __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#else
        swapcontext(&scheduler_, &lanes_[at].position);
#endif
    }
    void leave(std::size_t at) {
#ifdef __SANITIZE_ADDRESS__
        void* fake = nullptr;
        __sanitizer_start_switch_fiber(lanes_[at].done ? nullptr : &fake, main_stack_, main_bytes_);
        swapcontext(&lanes_[at].position, &scheduler_);
        __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#else
        swapcontext(&lanes_[at].position, &scheduler_);
#endif
    }
#endif

    [[nodiscard]] bool runnable(lane const& each, std::size_t at) const {
        if (each.done) return false;
        if (each.at_barrier) return each.block_generation != generation_;
        if (each.at_collective) return each.warp_generation != warps_[at / 32].generation;
        return true;
    }
    /// A kernel's body is noexcept: a failed lane never runs on, and `run` throws.
    void fail(std::string what) {
        if (failure_.empty()) failure_ = std::move(what);
        for (;;) leave(current_);
    }
    void arrive_at_barrier(std::size_t at) {
        lane& me = lanes_[at];
        ++at_barrier_;
        me.at_barrier = true;
        me.block_generation = generation_;
        if (at_barrier_ == alive_) pass_barrier();
        while (me.block_generation == generation_) leave(at);
        me.at_barrier = false;
    }
    void pass_barrier() {
        at_barrier_ = 0;
        ++generation_;
    }
    /// All 32 lanes meet; the last one calls `complete`, then all go on.
    template <class Complete>
    void meet(std::size_t at, char const* name, Complete&& complete) {
        lane& me = lanes_[at];
        warp& mine = warps_[at / 32];
        if (mine.arrived == 0) mine.collective = name;
        else if (std::strcmp(mine.collective, name) != 0) fail(std::string{"lanes of a warp at "} + mine.collective + " and at " + name);
        me.at_collective = true;
        me.warp_generation = mine.generation;
        if (++mine.arrived == 32) {
            complete(mine.slots[me.parity]);
            mine.arrived = 0;
            ++mine.generation;
        }
        while (me.warp_generation == mine.generation) leave(at);
        me.at_collective = false;
        me.parity ^= 1U;
    }
    static void perform(std::vector<copy> const& group) {
        for (copy const& each : group) {
            if (each.valid) std::memcpy(each.to, each.from, 16);
            else std::memset(each.to, 0, 16);
        }
    }
    static void start(block_runner* self) {
#ifdef __SANITIZE_ADDRESS__
        __sanitizer_finish_switch_fiber(nullptr, &self->main_stack_, &self->main_bytes_);
#endif
        self->body_(self->current_);
        std::size_t const at = self->current_;
        lane& me = self->lanes_[at];
        for (auto const& group : me.groups)
            if (!group.empty() && self->failure_.empty()) self->failure_ = "a lane ended before its copies";
        if (!me.open.empty() && self->failure_.empty()) self->failure_ = "a lane ended with copies that belong to no group";
        me.done = true;
        --self->alive_;
        if (self->alive_ > 0 && self->at_barrier_ == self->alive_) self->pass_barrier();
        self->leave(at);
    }

    schedule order_;
    std::vector<lane> lanes_;
    std::vector<warp> warps_;
    std::size_t shared_bytes_;
    std::unique_ptr<std::byte, release_shared> shared_;
    position_t scheduler_{};
    std::function<void(std::size_t)> body_;
    std::string failure_;
    std::size_t current_ = 0, alive_ = 0, at_barrier_ = 0;
    unsigned generation_ = 0;
    void const* main_stack_{};
    std::size_t main_bytes_{};
};

/// What a kernel's body is given: the host's counterpart of device_block.
class block_runner::lane_view {
public:
    lane_view(block_runner& runner, unsigned index, std::size_t at) : runner_{runner}, index_{index}, at_{at} {}

    [[nodiscard]] unsigned thread() const noexcept { return static_cast<unsigned>(at_); }
    [[nodiscard]] unsigned threads() const noexcept { return static_cast<unsigned>(runner_.lanes_.size()); }
    [[nodiscard]] unsigned index() const noexcept { return index_; }
    [[nodiscard]] int lane() const noexcept { return static_cast<int>(at_ % 32); }
    [[nodiscard]] int warp() const noexcept { return static_cast<int>(at_ / 32); }
    [[nodiscard]] std::byte* memory() const noexcept { return runner_.shared_.get(); }

    void barrier() { runner_.arrive_at_barrier(at_); }

    [[nodiscard]] float shuffle_xor(float value, unsigned mask) {
        deposit& mine = slot();
        mine.words[0] = std::bit_cast<std::uint32_t>(value);
        mine.words[1] = mask;
        runner_.meet(at_, "shuffle_xor", [](deposit (&all)[32]) {
            for (unsigned l = 0; l < 32; ++l) all[l].result[0] = all[l ^ (all[l].words[1] & 31U)].words[0];
        });
        return std::bit_cast<float>(mine.result[0]);
    }

    void copy_16(void* to, void const* from, bool valid) {
        if (reinterpret_cast<std::uintptr_t>(to) % 16 != 0 || (valid && reinterpret_cast<std::uintptr_t>(from) % 16 != 0)) runner_.fail("a copy of 16 bytes that are not aligned");
        if (!in_shared(to, 16)) runner_.fail("a copy to outside of shared memory");
        me().open.push_back({to, from, valid});
        if (!runner_.order_.late_copies) perform(me().open);
        if (!runner_.order_.late_copies) me().open.back() = {to, to, true}; // done: what is left to do changes nothing
    }
    void commit() { me().groups.push_back(std::exchange(me().open, {})); }
    template <int Pending>
    void wait() {
        auto& groups = me().groups;
        while (groups.size() > Pending) {
            if (runner_.order_.late_copies) perform(groups.front());
            groups.erase(groups.begin());
        }
    }

    void load_matrix(std::uint32_t (&r)[4], void const* row) { load(r, row, "ldmatrix", false); }
    void load_matrix_transposed(std::uint32_t (&r)[4], void const* row) { load(r, row, "ldmatrix.trans", true); }

    /// mma.m16n8k16: the fragments as the PTX ISA words them, products exact, the sum in double, one rounding.
    template <class E>
    void multiply(float (&acc)[4], std::uint32_t const (&a)[4], std::uint32_t const (&b)[2]) {
        deposit& mine = slot();
        std::memcpy(mine.words, a, sizeof a);
        std::memcpy(mine.words + 4, b, sizeof b);
        std::memcpy(mine.c, acc, sizeof acc);
        runner_.meet(at_, "mma", [](deposit (&all)[32]) {
            double left[16][16], right[16][8];
            auto const value = [](std::uint32_t word, int half) {
                return static_cast<double>(static_cast<float>(E::from_bits(static_cast<std::uint16_t>(half == 0 ? word : word >> 16))));
            };
            for (int lane = 0; lane < 32; ++lane) {
                int const group = lane >> 2, in_group = lane % 4;
                for (int i = 0; i < 8; ++i) { // a0 .. a7
                    int const row = (i >= 0 && i < 2) || (i >= 4 && i < 6) ? group : group + 8;
                    int const column = i < 4 ? in_group * 2 + (i & 1) : in_group * 2 + (i & 1) + 8;
                    left[row][column] = value(all[lane].words[i / 2], i % 2);
                }
                for (int i = 0; i < 4; ++i) { // b0 .. b3
                    int const row = i < 2 ? in_group * 2 + (i & 1) : in_group * 2 + (i & 1) + 8;
                    right[row][group] = value(all[lane].words[4 + i / 2], i % 2);
                }
            }
            for (int lane = 0; lane < 32; ++lane)
                for (int i = 0; i < 4; ++i) { // c0 .. c3
                    int const row = i < 2 ? lane >> 2 : (lane >> 2) + 8, column = lane % 4 * 2 + (i & 1);
                    double sum = static_cast<double>(all[lane].c[i]);
                    for (int k = 0; k < 16; ++k) sum += left[row][k] * right[k][column];
                    all[lane].result[i] = std::bit_cast<std::uint32_t>(static_cast<float>(sum));
                }
        });
        std::memcpy(acc, mine.result, sizeof acc);
    }

    [[nodiscard]] float exp2(float x) const noexcept { return std::exp2(x); }

private:
    [[nodiscard]] block_runner::lane& me() const noexcept { return runner_.lanes_[at_]; }
    [[nodiscard]] deposit& slot() const noexcept { return runner_.warps_[at_ / 32].slots[me().parity][at_ % 32]; }
    [[nodiscard]] bool in_shared(void const* p, std::size_t bytes) const noexcept {
        auto const* const at = static_cast<std::byte const*>(p);
        return at >= runner_.shared_.get() && at + bytes <= runner_.shared_.get() + runner_.shared_bytes_;
    }
    void load(std::uint32_t (&r)[4], void const* row, char const* name, bool transposed) {
        if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0 || !in_shared(row, 16)) runner_.fail(std::string{name} + ": an address outside of shared memory or not aligned");
        deposit& mine = slot();
        mine.address = row;
        runner_.meet(at_, name, [transposed](deposit (&all)[32]) {
            for (unsigned matrix = 0; matrix < 4; ++matrix) {
                std::uint16_t values[8][8];
                for (unsigned line = 0; line < 8; ++line) std::memcpy(values[line], all[matrix * 8 + line].address, 16);
                for (unsigned lane = 0; lane < 32; ++lane) {
                    unsigned const line = lane / 4, first = lane % 4 * 2;
                    std::uint32_t const low = transposed ? values[first][line] : values[line][first];
                    std::uint32_t const high = transposed ? values[first + 1][line] : values[line][first + 1];
                    all[lane].result[matrix] = low | high << 16;
                }
            }
        });
        std::memcpy(r, mine.result, sizeof r);
    }

    block_runner& runner_;
    unsigned index_;
    std::size_t at_;
};

template <class Body>
void block_runner::run(unsigned index, Body&& body) {
    std::memset(shared_.get(), 0xff, shared_bytes_); // NaN of every type: what is read before it is written shows
    body_ = [&](std::size_t at) {
        lane_view view{*this, index, at};
        body(view);
    };
    alive_ = lanes_.size();
    at_barrier_ = 0;
    failure_.clear();
    for (warp& each : warps_) each.arrived = 0;
    for (lane& each : lanes_) {
        each.done = each.at_barrier = each.at_collective = false;
        each.groups.clear();
        each.open.clear();
        each.parity = 0;
        prepare(each);
    }
    while (alive_ > 0 && failure_.empty()) {
        bool progress = false;
        for (std::size_t i = 0; i < lanes_.size() && failure_.empty(); ++i) {
            std::size_t const at = order_.descending ? lanes_.size() - 1 - i : i;
            if (!runnable(lanes_[at], at)) continue;
            progress = true;
            enter(at);
        }
        if (!progress && failure_.empty()) failure_ = "lanes wait for lanes that never come";
    }
    if (!failure_.empty()) throw std::runtime_error{failure_};
}

/// Every block of a launch, in ascending order.
template <class Kernel>
void run_kernel(std::size_t blocks, unsigned threads, std::size_t shared_bytes, typename Kernel::arguments const& arguments, schedule order = {}) {
    block_runner runner{threads, shared_bytes, order};
    for (std::size_t block = 0; block < blocks; ++block)
        runner.run(static_cast<unsigned>(block), [&](block_runner::lane_view& view) { Kernel::run(view, arguments); });
}

} // namespace cuda_test
