// Ranks: the tree over their shares, and trainers that exchange sums, as threads of one process.
#include <zeroi2v/train/gradient_exchange.hpp>

#include <zeroi2v/dispatch/dispatch.hpp>
#include <zeroi2v/model/init.hpp>
#include <zeroi2v/train/trainer.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <limits>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace zeroi2v;

namespace {

/// What ranks that are threads have in common.
struct board {
    explicit board(std::size_t ranks) : slots(ranks) {}

    std::mutex guard;
    std::condition_variable changed;
    std::map<std::pair<std::size_t, std::size_t>, std::deque<std::vector<float>>> mail; // (from, to)
    std::vector<std::string> slots;
    std::size_t arrived = 0, round = 0;

    void meet() {
        std::unique_lock lock{guard};
        std::size_t const mine = round;
        if (++arrived == slots.size()) {
            arrived = 0;
            ++round;
            changed.notify_all();
        }
        changed.wait(lock, [&] { return round != mine; });
    }
};

/// A rank that is a thread. It takes floats when they are announced, and would show it if they changed afterwards.
class thread_exchange final : public gradient_exchange {
public:
    thread_exchange(board& all, std::size_t rank) : all_{all}, rank_{rank} {}

    std::size_t rank() const noexcept override { return rank_; }
    std::size_t ranks() const noexcept override { return all_.slots.size(); }
    std::string name(std::size_t rank) const override { return "thread " + std::to_string(rank); }

    void begin(std::vector<tree_join> joins, std::span<float> sum) override {
        joins_ = std::move(joins);
        sum_ = sum;
        taken_.clear();
        ready_ = sum.size();
        for (auto const& each : joins_) {
            taken_[each.sum].resize(sum.size());
            if (each.other != nullptr) taken_[each.other].resize(sum.size());
        }
        if (rank_ == 0) taken_[sum.data()].resize(sum.size());
        announced.clear();
    }
    void ready(std::size_t first) override {
        for (auto& [from, to] : taken_)
            if (first < ready_) std::copy(from + first, from + ready_, to.data() + first);
        ready_ = std::min(ready_, first);
        announced.push_back(first);
    }
    void wait() override {
        CHECK(ready_ == 0);
        for (auto const& each : joins_) {
            auto& sum = taken_[each.sum];
            std::unique_lock lock{all_.guard};
            if (each.what == tree_join::act::send) {
                all_.mail[{rank_, each.peer}].push_back(sum);
                all_.changed.notify_all();
                continue;
            }
            std::vector<float> other;
            if (each.what == tree_join::act::add) {
                other = taken_[each.other];
            } else {
                auto& from = all_.mail[{each.peer, rank_}];
                all_.changed.wait(lock, [&] { return !from.empty(); });
                other = std::move(from.front());
                from.pop_front();
            }
            for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += other[i];
        }
        if (rank_ == 0) std::copy(taken_[sum_.data()].begin(), taken_[sum_.data()].end(), sum_.data());
        broadcast(std::as_writable_bytes(sum_));
    }
    void cancel() noexcept override { ++cancelled; }
    std::vector<std::string> gather(std::string_view mine) override {
        {
            std::lock_guard const lock{all_.guard};
            all_.slots[rank_] = mine;
        }
        all_.meet();
        auto result = all_.slots;
        all_.meet();
        return result;
    }
    void broadcast(std::span<std::byte> data) override {
        auto const all = gather({reinterpret_cast<char const*>(data.data()), rank_ == 0 ? data.size() : 0});
        REQUIRE(all[0].size() == data.size());
        std::memcpy(data.data(), all[0].data(), data.size());
    }

    std::vector<std::size_t> announced;
    int cancelled = 0;

private:
    board& all_;
    std::size_t rank_, ready_ = 0;
    std::vector<tree_join> joins_;
    std::span<float> sum_;
    std::map<float const*, std::vector<float>> taken_;
};

/// work(exchange) on every rank.
template <class Work>
void on_ranks(std::size_t ranks, Work&& work) {
    board all{ranks};
    std::vector<std::thread> threads;
    for (std::size_t rank = 0; rank < ranks; ++rank)
        threads.emplace_back([&work, &all, rank] {
            thread_exchange mine{all, rank};
            work(mine);
        });
    for (auto& each : threads) each.join();
}

vit_config small_config() {
    return {{.image_size = 8, .patch_size = 4, .frames = 4, .width = 24, .layers = 3, .heads = 4, .mlp_width = 50, .classes = 7},
            frame_map<>{4, {{.head = 0, .offset = -1}, {.head = 1, .offset = 1}}}, 0.5};
}

adapted_vit small_model(std::uint64_t seed = 4) { return random_weights<with_adapters>(small_config(), {{adapter_site::T_Adapter_in, adapter_site::S_Adapter, adapter_site::MLP_Adapter, adapter_site::MLP_Adapter_out}, 5}, {.seed = seed, .adapters = adapter_init::random}); }

struct clip_batch {
    std::vector<float> values;
    std::vector<std::int64_t> labels;
    std::size_t count;

    explicit clip_batch(std::size_t clips) : values(clips * small_config().clip_values()), count{clips} {
        detail::draw_normal(values, 1, 8, 1);
        for (std::size_t i = 0; i < clips; ++i) labels.push_back(static_cast<std::int64_t>(i * 3 % 7));
    }
    [[nodiscard]] view<float const, 5> clips() const { return view<float const, 5>{values.data(), count, 4, 3, 8, 8}; }
};

/// Parameters and moments, one after the other.
std::vector<std::byte> bits_of(trainer& training) {
    std::vector<std::byte> all;
    for (auto const& [name, tensor] : training.state().tensors) all.insert(all.end(), tensor.bytes().begin(), tensor.bytes().end());
    return all;
}

} // namespace

TEST_CASE("tree_joins: any number of ranks adds up any number of samples to the bits of tree_sum; a rank's share is one node where it can be") {
    serial_executor serial;
    std::size_t const floats = 3;
    for (std::size_t samples = 1; samples <= 70; ++samples) {
        std::vector<float> values(samples * floats), wanted(floats);
        detail::draw_normal(values, 1, samples, 3);
        for (std::size_t i = 0; i < floats; ++i) {
            std::vector<float> column(samples);
            for (std::size_t s = 0; s < samples; ++s) column[s] = values[s * floats + i];
            wanted[i] = tree_sum(std::span<float const>{column});
        }
        for (std::size_t ranks = 1; ranks <= 9; ++ranks) {
            std::deque<gradient_tree> trees;
            std::vector<std::vector<gradient_node>> nodes;
            std::vector<std::vector<tree_join>> joins;
            for (std::size_t rank = 0; rank < ranks; ++rank) {
                auto const share = partition(samples, ranks, rank);
                auto& tree = trees.emplace_back(floats, 1);
                tree.begin(samples, share);
                for (std::size_t s = share.begin; s < share.end; ++s) {
                    CHECK(detail::rank_of_sample(samples, ranks, s) == rank);
                    std::copy_n(values.data() + s * floats, floats, tree.leaf(0));
                    tree.push(serial, 0);
                }
                nodes.push_back(tree.nodes());
                CHECK(nodes.back().size() + 1 <= gradient_tree::buffers_of_range(std::max<std::size_t>(share.size(), 1), 1));
                joins.push_back(tree_joins(samples, ranks, rank, nodes.back()));
                if (std::has_single_bit(samples) && std::has_single_bit(ranks) && ranks <= samples) {
                    CHECK(nodes.back().size() == 1);
                    auto const sends = std::count_if(joins.back().begin(), joins.back().end(), [](auto const& each) { return each.what == tree_join::act::send; });
                    CHECK(sends == (rank == 0 ? 0 : 1));
                }
            }
            // Everyone's acts in order, each as soon as it can be: nobody waits for ever.
            std::map<std::pair<std::size_t, std::size_t>, std::deque<std::vector<float>>> mail;
            std::vector<std::size_t> at(ranks);
            for (bool moved = true; moved;) {
                moved = false;
                for (std::size_t rank = 0; rank < ranks; ++rank)
                    for (; at[rank] < joins[rank].size(); ++at[rank], moved = true) {
                        auto const& each = joins[rank][at[rank]];
                        REQUIRE(each.sum != nullptr);
                        if (each.what == tree_join::act::send) {
                            mail[{rank, each.peer}].emplace_back(each.sum, each.sum + floats);
                            continue;
                        }
                        auto& from = mail[{each.peer, rank}];
                        if (each.what == tree_join::act::receive && from.empty()) break;
                        for (std::size_t i = 0; i < floats; ++i) each.sum[i] += each.what == tree_join::act::add ? each.other[i] : from.front()[i];
                        if (each.what == tree_join::act::receive) from.pop_front();
                    }
            }
            for (std::size_t rank = 0; rank < ranks; ++rank) CHECK(at[rank] == joins[rank].size());
            for (auto const& [who, letters] : mail) CHECK(letters.empty());
            CHECK(std::memcmp(nodes[0][0].sum, wanted.data(), floats * sizeof(float)) == 0);
        }
    }
}

TEST_CASE("trainers on ranks end in the bits of one trainer: any number of ranks, batches that do not divide, threads of their own") {
    for (trainable_set const set : {trainable_set::only_adapters(), trainable_set::all(), trainable_set::only_head()})
        for (std::size_t const clips : {6U, 1U, 5U}) {
            clip_batch const data{clips};
            trainer_options const base{.trainable = set, .adapter_dropout = 0.2, .head_dropout = 0.5, .seed = 11, .clips_at_once = 1, .kernels = &best_kernels()};
            trainer alone{small_model(), base};
            std::vector<double> losses;
            for (int i = 0; i < 2; ++i) losses.push_back(alone.step(data.clips(), data.labels, 1e-2).loss);
            auto const wanted = bits_of(alone);
            for (std::size_t const ranks : {1U, 2U, 3U, 4U})
                on_ranks(ranks, [&](thread_exchange& exchange) {
                    auto options = base;
                    options.exchange = &exchange;
                    options.threads = 1 + exchange.rank() % 2;
                    options.clips_at_once = exchange.rank() == 1 ? 2 : 1;
                    trainer training{small_model(), options};
                    for (double const loss : losses) CHECK(training.step(data.clips(), data.labels, 1e-2).loss == loss);
                    CHECK(bits_of(training) == wanted);
                    // Where clips come one by one the sums leave block by block: head and ln_post, three blocks, the rest.
                    if (ranks > 1 && options.clips_at_once == 1 && exchange.rank() < clips) {
                        CHECK(exchange.announced.back() == 0);
                        CHECK(exchange.announced.size() == (set == trainable_set::only_head() ? 1 : 5));
                        CHECK(std::is_sorted(exchange.announced.rbegin(), exchange.announced.rend()));
                    }
                });
        }
}

TEST_CASE("a loss that is not finite stops every rank with the same words; the ranks of another seed are refused by name") {
    clip_batch data{5};
    data.values[3 * small_config().clip_values()] = std::numeric_limits<float>::quiet_NaN();
    auto const words_of = [](auto&& act) {
        try {
            act();
        } catch (training_error const& error) {
            return std::string{error.code_name()} + ": " + error.what();
        }
        return std::string{"nothing thrown"};
    };
    trainer alone{small_model(), {.kernels = &best_kernels()}};
    auto const words = words_of([&] { alone.step(data.clips(), data.labels, 1e-2); });
    CHECK(words.find("nonfinite_loss: step 0: loss of clip 3") == 0);
    on_ranks(3, [&](thread_exchange& exchange) {
        trainer training{small_model(), {.threads = 2, .kernels = &best_kernels(), .exchange = &exchange}};
        CHECK(words_of([&] { training.step(data.clips(), data.labels, 1e-2); }) == words);
        CHECK(training.steps() == 0);
        CHECK(exchange.cancelled == 0);
        CHECK(words_of([&] { require_same(exchange, "seed", "5"); }) == "nothing thrown");
        CHECK(words_of([&] { require_same(exchange, "seed", exchange.rank() == 2 ? "6" : "5"); }) == "ranks_differ: seed: 6 on thread 2, 5 on thread 0, the same expected");
        CHECK(words_of([&] { require_same(exchange, "seed", exchange.rank() == 1 ? "6" : "5"); }) == "ranks_differ: seed: 6 on thread 1, 5 on thread 0, the same expected");
        CHECK(words_of([&] { require_same(exchange, "seed", exchange.rank() == 0 ? "6" : "5"); }) == "ranks_differ: seed: 5 on thread 1, 6 on thread 0, the same expected");
    });
}

TEST_CASE("share_state: all ranks go on from rank 0; a batch that is given up is taken back from the exchange") {
    clip_batch const data{4};
    trainer_options const base{.clips_at_once = 1, .kernels = &best_kernels()};
    trainer alone{small_model(), base};
    for (int i = 0; i < 2; ++i) alone.step(data.clips(), data.labels, 1e-2);
    auto const state = alone.state();
    alone.step(data.clips(), data.labels, 1e-2);
    auto const wanted = bits_of(alone);
    on_ranks(2, [&](thread_exchange& exchange) {
        auto options = base;
        options.exchange = &exchange;
        {
            trainer training{small_model(), options};
            if (exchange.rank() == 0) training.restore(state);
            training.share_state();
            CHECK(training.steps() == 2);
            training.step(data.clips(), data.labels, 1e-2);
            CHECK(bits_of(training) == wanted);
            auto const share = training.share(4);
            CHECK(share == partition(4, 2, exchange.rank()));
            training.begin(4);
            view<float const, 5> const own{data.values.data() + share.begin * small_config().clip_values(), share.size(), 4, 3, 8, 8};
            training.add(own, std::span{data.labels}.subspan(share.begin, share.size()));
            CHECK_THROWS_AS(training.add(own, std::span{data.labels}.subspan(share.begin, share.size())), precondition_error);
        }
        CHECK(exchange.cancelled == 1);
    });
}
