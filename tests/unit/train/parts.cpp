// What a step is made of: loss, schedule, dropout, AdamW, the tree of sums, weight gradients.
#include <zeroi2v/train/adamw.hpp>
#include <zeroi2v/train/dropout.hpp>
#include <zeroi2v/train/gradient_tree.hpp>
#include <zeroi2v/train/linear_backward.hpp>
#include <zeroi2v/train/loss.hpp>
#include <zeroi2v/train/schedule.hpp>

#include "../ops/tables.hpp"

#include <zeroi2v/parallel/thread_team.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <string>

using namespace zeroi2v;
using namespace zeroi2v::test;

TEST_CASE("cross_entropy: value and gradient against the formula, smoothed, over several label sets, and where exp overflows") {
    std::vector<float> const logits{1, -2, 0.5F, 3, 1000, -1000, 999};
    std::vector<std::size_t> const groups{4, 3};
    std::vector<std::int64_t> const labels{2, 2};
    std::vector<float> gradient(7);
    double const smoothing = 0.1;
    double const loss = cross_entropy(logits, labels, groups, smoothing, 0.25, gradient);
    double wanted = 0;
    for (std::size_t g = 0, first = 0; g < 2; first += groups[g], ++g) {
        double top = -1e9, sum = 0;
        for (std::size_t k = 0; k < groups[g]; ++k) top = std::max(top, static_cast<double>(logits[first + k]));
        for (std::size_t k = 0; k < groups[g]; ++k) sum += std::exp(static_cast<double>(logits[first + k]) - top);
        for (std::size_t k = 0; k < groups[g]; ++k) {
            double const log_p = static_cast<double>(logits[first + k]) - top - std::log(sum);
            double const target = smoothing / static_cast<double>(groups[g]) + (static_cast<std::int64_t>(k) == labels[g] ? 1 - smoothing : 0);
            wanted -= target * log_p;
            CHECK(gradient[first + k] == doctest::Approx(0.25 * (std::exp(log_p) - target)).epsilon(1e-6));
        }
    }
    CHECK(loss == doctest::Approx(wanted).epsilon(1e-12));
    std::vector<float> one(3);
    CHECK(cross_entropy(std::vector<float>{0, 0, 0}, std::vector<std::int64_t>{1}, {}, 0, 1, one) == doctest::Approx(std::log(3.0)));
    CHECK(std::isnan(cross_entropy(std::vector<float>{0, NAN, 0}, std::vector<std::int64_t>{0}, {}, 0, 1, one)));
    auto const refused = [&](std::vector<float> const& of, std::vector<std::int64_t> const& classes, std::vector<std::size_t> const& sets, std::size_t room) {
        std::vector<float> to(room);
        CHECK_THROWS_AS(static_cast<void>(cross_entropy(of, classes, sets, 0, 1, to)), precondition_error);
    };
    refused({0, 0, 0}, {3}, {}, 3);
    refused({0, 0, 0}, {-1}, {}, 3);
    refused({0, 0, 0}, {1}, {}, 2);
    refused({0, 0, 0}, {1, 1}, {}, 3);
    refused({0, 0, 0}, {}, {}, 3);
    refused({0, 0, 0}, {1, 0}, {2, 2}, 3);
    refused({0, 0, 0}, {1, 0}, {1, 1}, 3);
    refused({0, 0, 0}, {0, 1}, {2, 1}, 3); // 1 is in the first set only
    refused({0, 0, 0}, {1}, {2, 1}, 3);
    CHECK(cross_entropy(std::vector<float>{0, 0, 0}, std::vector<std::int64_t>{1, 0}, std::vector<std::size_t>{2, 1}, 0, 1, one) == doctest::Approx(std::log(2.0)));
    for (std::size_t const at : {0U, 1U, 2U}) { // wherever it stands, a logit that is not finite shows
        std::vector<float> bad{1, 2, 0.5F};
        for (float const value : {NAN, infinity}) {
            bad[at] = value;
            CHECK_FALSE(std::isfinite(cross_entropy(bad, std::vector<std::int64_t>{0}, {}, 0.1, 1, one)));
        }
    }
    // Without smoothing a class that cannot be adds nothing.
    CHECK(cross_entropy(std::vector<float>{0, -infinity, 0}, std::vector<std::int64_t>{0}, {}, 0, 1, one) == doctest::Approx(std::log(2.0)));
}

TEST_CASE("label_in_top: by the number of larger logits, of equal ones the lower index first") {
    std::vector<float> const logits{1, 3, 2, 3, 0};
    std::vector<std::size_t> const place{3, 0, 2, 1, 4};
    for (std::size_t label = 0; label < 5; ++label)
        for (std::size_t top = 0; top < 7; ++top) CHECK(label_in_top(logits, static_cast<std::int64_t>(label), top) == (place[label] < top));
    CHECK_FALSE(label_in_top(logits, -1, 5));
    CHECK_FALSE(label_in_top(logits, 5, 9));
}

TEST_CASE("lr_schedule: warm-up times a cosine by epochs, by steps, or nothing") {
    lr_schedule const plain{.cosine = false, .warmup_epochs = 0};
    CHECK(plain.factor(0) == 1);
    CHECK(plain.factor(1000000) == 1);
    lr_schedule const epochs{.warmup_epochs = 2.5, .steps_per_epoch = 4, .total_steps = 40};
    CHECK(epochs.factor(0) == doctest::Approx(0.1));
    CHECK(epochs.factor(9) == doctest::Approx((1 + std::cos(std::numbers::pi * 2 / 10)) / 2)); // warm: 9 of 0..9 is 1
    CHECK(epochs.factor(3) == doctest::Approx(0.1 + 0.9 * 3 / 9));
    CHECK(epochs.factor(20) == doctest::Approx(0.5));
    CHECK(epochs.factor(20) == epochs.factor(23));
    CHECK(epochs.factor(36) > 0);
    CHECK(epochs.factor(40) == doctest::Approx(0));
    lr_schedule const steps{.per_step = true, .warmup_epochs = 0, .steps_per_epoch = 4, .total_steps = 10};
    CHECK(steps.factor(5) == doctest::Approx(0.5));
    CHECK(steps.factor(1) < 1);
    CHECK(lr_schedule{}.warmup_epochs == 2.5);
    CHECK(lr_schedule{}.cosine);
    CHECK_FALSE(lr_schedule{}.per_step);
}

TEST_CASE("lr_schedule: step by step the factors that mmengine's recursions give") {
    // LinearLR(start_factor=0.1, end=warmup_epochs, convert_to_iter_based) and CosineAnnealingLR(T_max=epochs), computed one
    // from the other as mmengine's schedulers do.
    struct entry {
        double warmup;
        std::uint64_t per_epoch, epochs;
        bool cosine;
        std::vector<double> factors;
    };
    for (entry const& e : {entry{2.5, 5, 4, true, {0.1, 0.181818181818, 0.263636363636, 0.345454545455, 0.427272727273, 0.434536271575, 0.504372458078,
                                                   0.574208644581, 0.644044831084, 0.713881017587, 0.459090909091, 0.5, 0.5, 0.5, 0.5, 0.146446609407,
                                                   0.146446609407, 0.146446609407, 0.146446609407, 0.146446609407}},
                           entry{1, 3, 3, true, {0.1, 0.55, 1, 0.75, 0.75, 0.75, 0.25, 0.25, 0.25}},
                           entry{5, 2, 6, false, {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1, 1}}}) {
        lr_schedule const schedule{.cosine = e.cosine, .warmup_epochs = e.warmup, .steps_per_epoch = e.per_epoch, .total_steps = e.per_epoch * e.epochs};
        REQUIRE(e.factors.size() == schedule.total_steps);
        for (std::size_t i = 0; i < e.factors.size(); ++i) CHECK(schedule.factor(i) == doctest::Approx(e.factors[i]).epsilon(1e-10));
    }
}

TEST_CASE("lr_schedule: fractions of steps, epochs that do not divide, the last step and those behind it, nothing at all") {
    auto const half = [](double of) { return (1 + std::cos(std::numbers::pi * of)) / 2; };
    // 0.9 of 3 steps: two steps of warm-up; 10 steps in epochs of 4: three epochs, the last of two steps.
    lr_schedule const parts{.warmup_epochs = 0.9, .steps_per_epoch = 3, .total_steps = 10};
    CHECK(parts.factor(0) == doctest::Approx(0.1));
    CHECK(parts.factor(1) == 1);
    CHECK(parts.factor(2) == 1);
    CHECK(parts.factor(3) == doctest::Approx(half(1.0 / 4)));
    CHECK(parts.factor(9) == doctest::Approx(half(3.0 / 4)));
    lr_schedule const three{.warmup_epochs = 0, .steps_per_epoch = 4, .total_steps = 10};
    for (std::uint64_t i = 0; i < 10; ++i) CHECK(three.factor(i) == doctest::Approx(half(static_cast<double>(i / 4) / 3)));
    lr_schedule const one{.cosine = false, .warmup_epochs = 0.5, .steps_per_epoch = 2}; // a single step of warm-up
    CHECK(one.factor(0) == doctest::Approx(0.1));
    CHECK(one.factor(1) == 1);
    lr_schedule const two{.cosine = false, .warmup_epochs = 1, .steps_per_epoch = 2};
    CHECK(two.factor(0) == doctest::Approx(0.1));
    CHECK(two.factor(1) == doctest::Approx(1));
    for (bool const per_step : {false, true}) { // behind the last step the cosine does not rise again
        lr_schedule const ended{.per_step = per_step, .warmup_epochs = 0, .steps_per_epoch = 2, .total_steps = 8};
        CHECK(ended.factor(8) == doctest::Approx(0));
        CHECK(ended.factor(12) == doctest::Approx(0));
        CHECK(ended.factor(7) == doctest::Approx(half(per_step ? 7.0 / 8 : 3.0 / 4)));
    }
    // No steps in an epoch count as one, no steps at all as one.
    lr_schedule const none{.warmup_epochs = 3, .steps_per_epoch = 0, .total_steps = 6}, like{.warmup_epochs = 3, .steps_per_epoch = 1, .total_steps = 6};
    for (std::uint64_t i = 0; i < 8; ++i) CHECK(none.factor(i) == like.factor(i));
    CHECK(none.factor(1) == doctest::Approx((0.1 + 0.9 / 2) * half(1.0 / 6)));
    for (bool const per_step : {false, true}) {
        lr_schedule const empty{.per_step = per_step, .warmup_epochs = 0, .steps_per_epoch = 1, .total_steps = 0};
        CHECK(empty.factor(0) == 1);
        CHECK(empty.factor(1) == doctest::Approx(0));
    }
}

TEST_CASE("dropout: the share of its rate, the same for any division into rows, another for each step, place and sample") {
    std::size_t const rows = 50, columns = 37;
    auto const dropped = [&](double rate, std::uint64_t step, std::uint64_t place, std::uint64_t sample) {
        std::vector<float> x(rows * columns, 1.0F);
        dropout{rate, 7, step, place, sample, rows}.apply(x.data(), columns, 0, rows);
        return x;
    };
    auto const base = dropped(0.25, 3, 9, 1);
    auto const share = static_cast<double>(std::count(base.begin(), base.end(), 0.0F)) / static_cast<double>(base.size());
    CHECK(share == doctest::Approx(0.25).epsilon(0.1));
    CHECK(std::all_of(base.begin(), base.end(), [](float v) { return v == 0.0F || v == static_cast<float>(1 / 0.75); }));
    CHECK(base == dropped(0.25, 3, 9, 1));
    CHECK(base != dropped(0.25, 4, 9, 1));
    CHECK(base != dropped(0.25, 3, 8, 1));
    CHECK(base != dropped(0.25, 3, 9, 2));
    std::vector<float> parts(rows * columns, 1.0F);
    dropout const drop{0.25, 7, 3, 9, 1, rows};
    drop.apply(parts.data(), columns, 13, rows);
    drop.apply(parts.data(), columns, 0, 13);
    CHECK(parts == base);
    std::vector<float> second(2 * columns, 1.0F); // rows 0 and 5 of the same sample
    drop.apply(second.data(), columns, 0, 2, 5);
    CHECK(std::equal(second.begin() + columns, second.end(), base.begin() + 5 * columns));
    CHECK(dropped(0, 3, 9, 1) == std::vector<float>(rows * columns, 1.0F));
    CHECK(dropped(1, 3, 9, 1) == std::vector<float>(rows * columns, 0.0F));
    CHECK_FALSE(dropout{}.drops());
}

TEST_CASE("dropout: value by value the generator's, of the stream of place and step, at the index of sample, row and column") {
    std::size_t const rows = 6;
    std::size_t kept = 0, lost = 0;
    for (std::size_t const columns : {1U, 3U, 4U, 9U})
        for (double const rate : {0.1, 0.5, 0.75})
            for (std::uint64_t const sample : {0U, 1U, 5U})
                for (std::size_t const row_step : {1U, 3U})
                    for (std::uint64_t const from : {0U, 2U}) {
                        std::uint64_t const seed = 42, step = 7, place = 17;
                        counter_rng const random{seed, (place << 40U) ^ step};
                        std::vector<float> x(rows * columns, 3.0F);
                        dropout{rate, seed, step, place, sample, rows}.from(from).apply(x.data(), columns, 1, 5, row_step);
                        for (std::size_t r = 0; r < rows; ++r)
                            for (std::size_t c = 0; c < columns; ++c) {
                                bool const touched = r >= 1 && r < 5;
                                bool const keep = static_cast<double>(random.uniform((sample * rows + from + r * row_step) * columns + c)) >= rate;
                                CHECK(x[r * columns + c] == (!touched ? 3.0F : keep ? 3.0F * static_cast<float>(1 / (1 - rate)) : 0.0F));
                                kept += touched && keep ? 1U : 0U;
                                lost += touched && !keep ? 1U : 0U;
                            }
                    }
    CHECK(kept > 500);
    CHECK(lost > 500);
    // A value that is the rate itself is kept, and dropped by the next rate.
    counter_rng const random{5, std::uint64_t{9} << 40U};
    for (std::uint64_t i = 0; i < 8; ++i) {
        std::vector<float> x(8, 1.0F), y(8, 1.0F);
        double const rate = static_cast<double>(random.uniform(i));
        dropout{rate, 5, 0, 9, 0, 1}.apply(x.data(), 8, 0, 1);
        dropout{rate + 0x1p-24, 5, 0, 9, 0, 1}.apply(y.data(), 8, 0, 1);
        CHECK(x[i] == static_cast<float>(1 / (1 - rate)));
        CHECK(y[i] == 0);
    }
    for (double const rate : {0.0, -0.5, 0x1p-25}) { // below the smallest share nothing is dropped, and nothing divided
        std::vector<float> x(8, 1.0F);
        dropout const none{rate, 5, 0, 9, 0, 1};
        CHECK_FALSE(none.drops());
        none.apply(x.data(), 8, 0, 1);
        CHECK(x == std::vector<float>(8, 1.0F));
    }
    for (double const rate : {1.0, 1.5}) {
        std::vector<float> x(8, 1.0F);
        dropout const all{rate, 5, 0, 9, 0, 1};
        CHECK(all.drops());
        all.apply(x.data(), 8, 0, 1);
        CHECK(x == std::vector<float>(8, 0.0F));
    }
    CHECK(dropout{0x1p-24, 5, 0, 9, 0, 1}.drops());
}

TEST_CASE("dropout: no two layers of a model have one place") {
    std::vector<std::uint64_t> places{dropout::head_place};
    for (std::size_t block = 0; block < 24; ++block)
        for (std::size_t which = 0; which < 7; ++which) {
            places.push_back(dropout::adapter_place(block, which));
            CHECK(places.back() == 8 * (block + 1) + which); // as the checkpoints of a run need it
        }
    CHECK(dropout::head_place == 1);
    std::sort(places.begin(), places.end());
    CHECK(std::adjacent_find(places.begin(), places.end()) == places.end());
}

TEST_CASE("adamw: ten steps against the formula in double") {
    std::size_t const count = 131;
    auto p = normal_floats(count, 1);
    std::vector<float> m(count), v(count);
    std::vector<double> dp(p.begin(), p.end()), dm(count), dv(count);
    thread_team team{2};
    double const lr = 0.01, decay = 0.05;
    for (std::uint64_t t = 1; t <= 10; ++t) {
        auto const g = normal_floats(count, 100 + t);
        adamw const step{{}, t};
        adamw_tensor const of{p.data(), g.data(), m.data(), v.data(), count, lr, decay};
        CHECK(step.stays_finite(team, of));
        step.apply(team, of);
        for (std::size_t i = 0; i < count; ++i) {
            auto const gi = static_cast<double>(g[i]);
            dp[i] *= 1 - lr * decay;
            dm[i] = 0.9 * dm[i] + 0.1 * gi;
            dv[i] = 0.999 * dv[i] + 0.001 * gi * gi;
            dp[i] -= lr * (dm[i] / (1 - std::pow(0.9, static_cast<double>(t)))) / (std::sqrt(dv[i] / (1 - std::pow(0.999, static_cast<double>(t)))) + 1e-8);
        }
    }
    CHECK(relative_l2(p, dp) < 1e-6);
    CHECK(relative_l2(v, dv) < 1e-6);
    auto const before = p, m_before = m, v_before = v;
    for (std::size_t at = 0; at < count; ++at) { // whichever element it is
        std::vector<float> g(count);
        g[at] = 1e30F; // its square is infinite
        adamw_tensor const over{p.data(), g.data(), m.data(), v.data(), count, lr, 0};
        CHECK_FALSE(adamw{{}, 11}.stays_finite(team, over));
    }
    std::vector<float> g(count, 1e-30F);
    adamw_tensor const far{p.data(), g.data(), m.data(), v.data(), count, 3e38, 0}; // the parameter alone
    CHECK_FALSE(adamw{{}, 11}.stays_finite(team, far));
    g.assign(count, 0);
    g[77] = infinity;
    CHECK_FALSE(adamw{{}, 11}.stays_finite(team, adamw_tensor{p.data(), g.data(), m.data(), v.data(), count, 0, 0}));
    // The float behind the last is none of the tensor's.
    std::vector<float> more(count + 1, 0.0F);
    more[count] = NAN;
    CHECK(adamw{{}, 11}.stays_finite(team, adamw_tensor{p.data(), more.data(), m.data(), v.data(), count, lr, 0}));
    CHECK(same_bits(p, before));
    CHECK(same_bits(m, m_before));
    CHECK(same_bits(v, v_before));
}

TEST_CASE("adamw: other betas and eps, a step at a time against the formula, the same bits for any number of threads") {
    adamw_options const options{0.5, 0.75, 0.25};
    std::size_t const count = 200;
    for (std::uint64_t const t : {1U, 2U, 30U}) {
        auto const p = normal_floats(count, 1), g = normal_floats(count, 2), m = normal_floats(count, 3), v = random_floats(count, 4, 0, 2);
        std::vector<std::vector<float>> results;
        for (int const threads : {1, 3}) {
            thread_team team{threads};
            auto a = p, b = m, c = v;
            adamw{options, t}.apply(team, {a.data(), g.data(), b.data(), c.data(), count, 0.1, 0.3});
            for (std::size_t i = 0; i < count; ++i) {
                double const gi = static_cast<double>(g[i]), mi = 0.5 * static_cast<double>(m[i]) + 0.5 * gi, vi = 0.75 * static_cast<double>(v[i]) + 0.25 * gi * gi;
                double const wanted = static_cast<double>(p[i]) * (1 - 0.1 * 0.3)
                                      - 0.1 * mi / (1 - std::pow(0.5, static_cast<double>(t))) / (std::sqrt(vi / (1 - std::pow(0.75, static_cast<double>(t)))) + 0.25);
                CHECK(static_cast<double>(a[i]) == doctest::Approx(wanted).epsilon(1e-5));
                CHECK(static_cast<double>(b[i]) == doctest::Approx(mi).epsilon(1e-5));
                CHECK(static_cast<double>(c[i]) == doctest::Approx(vi).epsilon(1e-5));
            }
            results.push_back(std::move(a));
        }
        CHECK(same_bits(results[0], results[1]));
    }
    CHECK(adamw_options{}.beta1 == 0.9);
    CHECK(adamw_options{}.beta2 == 0.999);
    CHECK(adamw_options{}.eps == 1e-8);
}

TEST_CASE("gradient_tree: the tree of tree_sum, for any number of leaves at a time; subtrees of a power of two add up to it") {
    serial_executor serial;
    std::size_t const floats = 70;
    for (std::size_t samples = 1; samples <= 33; ++samples) {
        auto const values = normal_floats(samples * floats, samples);
        std::vector<float> wanted(floats);
        for (std::size_t i = 0; i < floats; ++i) {
            std::vector<float> column(samples);
            for (std::size_t s = 0; s < samples; ++s) column[s] = values[s * floats + i];
            wanted[i] = tree_sum(std::span<float const>{column});
            if (samples % 4 == 0) {
                std::vector<float> quarters;
                for (std::size_t s = 0; s < samples; s += 4) quarters.push_back(tree_sum(std::span<float const>{column}.subspan(s, 4)));
                CHECK(tree_sum(std::span<float const>{quarters}) == wanted[i]);
            }
        }
        for (std::size_t const leaves : {1U, 3U, 4U}) {
            gradient_tree tree{floats, leaves};
            for (int round = 0; round < 2; ++round) {
                tree.begin(samples);
                for (std::size_t s = 0; s < samples; ++s) {
                    std::copy_n(values.data() + s * floats, floats, tree.leaf(s % leaves));
                    tree.push(serial, s % leaves);
                }
                auto const nodes = tree.nodes();
                REQUIRE(nodes.size() == 1);
                CHECK(nodes[0].first == 0);
                CHECK(nodes[0].last == samples);
                CHECK(same_bits(std::span<float const>{nodes[0].sum, floats}, wanted));
            }
            // The last sample in parts, from its end to its beginning, while it is still being filled.
            tree.begin(samples);
            for (std::size_t s = 0; s + 1 < samples; ++s) {
                std::copy_n(values.data() + s * floats, floats, tree.leaf(s % leaves));
                tree.push(serial, s % leaves);
            }
            float* const leaf = tree.leaf(0);
            tree.place(0);
            std::size_t end = floats;
            for (std::size_t const first : {std::size_t{69}, std::size_t{69}, std::size_t{30}, std::size_t{0}}) {
                std::copy_n(values.data() + (samples - 1) * floats + first, end - first, leaf + first);
                tree.add(serial, first);
                end = first;
            }
            CHECK(same_bits(std::span<float const>{tree.nodes()[0].sum, floats}, wanted));
        }
    }
    gradient_tree empty{3, 1};
    empty.begin(2);
    CHECK(empty.nodes().empty());
    for (int i = 0; i < 2; ++i) {
        std::fill_n(empty.leaf(0), 3, 1.0F);
        empty.push(serial, 0);
    }
    CHECK_THROWS_AS(empty.place(0), precondition_error);
}

TEST_CASE("tree_sum: the left side is the largest power of two below the number") {
    struct text {
        std::string of;
        text operator+(text const& other) const { return {"(" + of + other.of + ")"}; }
    };
    std::vector<text> letters;
    for (char c = 'a'; c < 'k'; ++c) letters.push_back({std::string(1, c)});
    auto const sum = [&](std::size_t n) { return tree_sum(std::span<text const>{letters}.first(n)).of; };
    CHECK(sum(0).empty());
    CHECK(sum(1) == "a");
    CHECK(sum(2) == "(ab)");
    CHECK(sum(3) == "((ab)c)");
    CHECK(sum(4) == "((ab)(cd))");
    CHECK(sum(5) == "(((ab)(cd))e)");
    CHECK(sum(7) == "(((ab)(cd))((ef)g))");
    CHECK(sum(10) == "((((ab)(cd))((ef)(gh)))(ij))");
}

TEST_CASE("gradient_tree: memory is what buffers() says, batch after batch; floats that are there are added once") {
    serial_executor serial;
    std::size_t const floats = 40;
    for (std::size_t samples = 1; samples <= 20; ++samples)
        for (std::size_t const leaves : {1U, 2U, 3U}) {
            gradient_tree tree{floats, leaves};
            std::vector<float*> used; // buffers that were ever handed out
            for (int round = 0; round < 4; ++round) {
                tree.begin(samples);
                for (std::size_t s = 0; s < samples; s += leaves) {
                    std::size_t const here = std::min(leaves, samples - s);
                    for (std::size_t i = 0; i < here; ++i) {
                        used.push_back(tree.leaf(i));
                        CHECK(tree.leaf(i) == used.back());
                        std::fill_n(used.back(), floats, 1.0F);
                    }
                    for (std::size_t i = 0; i < here; ++i) tree.push(serial, i);
                }
                REQUIRE(tree.nodes().size() == 1);
                CHECK(std::all_of(tree.nodes()[0].sum, tree.nodes()[0].sum + floats, [&](float v) { return v == static_cast<float>(samples); }));
            }
            std::sort(used.begin(), used.end());
            auto const distinct = static_cast<std::size_t>(std::unique(used.begin(), used.end()) - used.begin());
            CHECK(distinct <= gradient_tree::buffers(samples, leaves));
            if (leaves == 1) CHECK(distinct == gradient_tree::buffers(samples, leaves));
        }
    CHECK(gradient_tree::buffers(1, 3) == 3);
    CHECK(gradient_tree::buffers(7, 1) == 3);
    CHECK(gradient_tree::buffers(8, 1) == 4);
    CHECK(gradient_tree::buffers_of_range(1, 1) == 3);
    CHECK(gradient_tree::buffers_of_range(7, 2) == 8);
    CHECK(gradient_tree::buffers_of_range(8, 2) == 10);

    thread_team team{3};
    gradient_tree parts{floats, 1};
    parts.begin(2);
    std::fill_n(parts.leaf(0), floats, 1.0F);
    parts.push(serial, 0);
    std::fill_n(parts.leaf(0), floats, 2.0F);
    parts.place(0);
    for (std::size_t const first : {30U, 35U, 30U, 7U, 39U, 0U, 0U, 12U, 40U}) parts.add(team, first); // what was announced before is not added again
    CHECK(std::all_of(parts.nodes()[0].sum, parts.nodes()[0].sum + floats, [](float v) { return v == 3; }));
    parts.begin(3, {1, 3}); // a range that begins amidst the tree: two nodes
    for (int i = 0; i < 2; ++i) {
        std::fill_n(parts.leaf(0), floats, 5.0F + static_cast<float>(i));
        parts.push(serial, 0);
    }
    auto const nodes = parts.nodes();
    REQUIRE(nodes.size() == 2);
    CHECK(nodes[0].first == 1);
    CHECK(nodes[0].last == 2);
    CHECK(nodes[1].first == 2);
    CHECK(nodes[1].last == 3);
    CHECK(nodes[0].sum[39] == 5);
    CHECK(nodes[1].sum[39] == 6);
}

TEST_CASE("weight_gradient and bias_gradient: whole numbers exactly, at every form, for every number of threads") {
    for (kernel_table const* table : tables())
        for (std::size_t const rows : {1U, 7U, 40U, 259U})
            for (std::size_t const out : {1U, 9U, 34U})
                for (std::size_t const in : {1U, 12U, 35U})
                    for (int const threads : {1, 3}) {
                        thread_team team{threads};
                        auto const dy = integers(rows * (out + 2), rows + out, 5), x = integers(rows * in, in, 5);
                        aligned_buffer scratch{weight_gradient_scratch(*table, rows, out, in, team.concurrency()) * sizeof(float)};
                        std::vector<float> dw(out * in), db(out), alone(out);
                        matrix_view<float const> const from{dy.data(), rows, out, out + 2};
                        weight_gradient(*table, team, from, {x.data(), rows, in}, 0.5F, dw.data(), db.data(), reinterpret_cast<float*>(scratch.data()));
                        bias_gradient(team, from, 0.5F, alone.data());
                        CHECK(alone == db);
                        bool exact = true;
                        for (std::size_t o = 0; o < out; ++o) {
                            float bias = 0;
                            for (std::size_t r = 0; r < rows; ++r) bias += from.row(r)[o];
                            exact = exact && db[o] == 0.5F * bias;
                            for (std::size_t i = 0; i < in; ++i) {
                                float sum = 0;
                                for (std::size_t r = 0; r < rows; ++r) sum += from.row(r)[o] * x[r * in + i];
                                exact = exact && dw[o * in + i] == 0.5F * sum;
                            }
                        }
                        CHECK_MESSAGE(exact, name_of(*table) << " " << rows << " rows, " << out << "x" << in);
                    }
}

TEST_CASE("weight_gradient of sides that no cache holds: more panels at a time, columns in several blocks") {
    std::size_t const rows = 11;
    for (kernel_table const* table : tables())
        for (auto const& sides : {std::pair<std::size_t, std::size_t>{table->f32.row_block + 9, table->f32.row_block + 21}, {table->f32.row_block + 21, table->f32.row_block + 9}, {3, 600}, {600, 3}})
            for (int const threads : {1, 3}) {
                std::size_t const out = sides.first, in = sides.second;
                thread_team team{threads};
                auto const dy = integers(rows * out, out, 5), x = integers(rows * in, in, 5);
                std::size_t const count = weight_gradient_scratch(*table, rows, out, in, team.concurrency());
                guarded<float> scratch{(count + 15) / 16 * 16, guarded<float>::end::back};
                std::vector<float> dw(out * in, NAN), db(out, NAN);
                weight_gradient(*table, team, {dy.data(), rows, out}, {x.data(), rows, in}, 1, dw.data(), db.data(), scratch.data());
                std::size_t wrong = 0;
                for (std::size_t o = 0; o < out; ++o) {
                    float bias = 0;
                    for (std::size_t r = 0; r < rows; ++r) bias += dy[r * out + o];
                    wrong += db[o] != bias ? 1U : 0U;
                    for (std::size_t i = 0; i < in; ++i) {
                        float sum = 0;
                        for (std::size_t r = 0; r < rows; ++r) sum += dy[r * out + o] * x[r * in + i];
                        wrong += dw[o * in + i] != sum ? 1U : 0U;
                    }
                }
                CHECK_MESSAGE(wrong == 0, name_of(*table) << " " << out << "x" << in);
            }
}

TEST_CASE("weight_gradient and bias_gradient take nothing where there is nothing, and refuse rows that differ") {
    kernel_table const& table = *tables().front();
    serial_executor serial;
    auto const dy = integers(6 * 4, 1, 5), x = integers(6 * 3, 2, 5);
    aligned_buffer scratch{weight_gradient_scratch(table, 6, 4, 3, 1) * sizeof(float)};
    auto* const room = reinterpret_cast<float*>(scratch.data());
    std::vector<float> dw(12, 7.0F), db(4, 7.0F);
    CHECK_THROWS_AS(weight_gradient(table, serial, {dy.data(), 6, 4}, {x.data(), 5, 3}, 1, dw.data(), db.data(), room), precondition_error);
    weight_gradient(table, serial, {dy.data(), 6, 0}, {x.data(), 6, 3}, 1, dw.data(), nullptr, room);
    weight_gradient(table, serial, {dy.data(), 6, 4}, {x.data(), 6, 0}, 1, dw.data(), nullptr, room);
    CHECK(dw == std::vector<float>(12, 7.0F));
    for (bool const turned : {false, true}) { // without a bias, either way round
        std::vector<float> with(12), without(12), bias(turned ? 4 : 3);
        matrix_view<float const> const wide{dy.data(), 6, 4}, narrow{x.data(), 6, 3};
        weight_gradient(table, serial, turned ? wide : narrow, turned ? narrow : wide, 2, with.data(), bias.data(), room);
        weight_gradient(table, serial, turned ? wide : narrow, turned ? narrow : wide, 2, without.data(), nullptr, room);
        CHECK(same_bits(with, without));
    }
    // The narrower operand on its side; of each thread some panels of the wider, and a tile where the weight is the wider's.
    for (kernel_table const* each : tables())
        for (std::size_t const rows : {1U, 6U, 40U})
            for (auto const& [out, in] : {std::pair<std::size_t, std::size_t>{4, 3}, {3, 4}, {5, 5}, {each->f32.row_block, 2000}, {2000, each->f32.row_block}, {each->f32.row_block + 1, 2000}, {2000, each->f32.row_block + 1}})
                for (std::size_t const threads : {1U, 3U}) {
                    auto const lines = [](std::size_t floats) { return (floats + 15) / 16 * 16; };
                    std::size_t const narrow = std::min(out, in), wide = each->f32.panel_width * (narrow > each->f32.row_block ? 8 : 1);
                    CHECK(weight_gradient_scratch(*each, rows, out, in, static_cast<int>(threads)) == lines(rows) * narrow + threads * (lines(wide * rows) + (out > in ? lines(wide * narrow) : 0)));
                }
    CHECK(weight_gradient_scratch(table, 6, 4, 3, 0) == weight_gradient_scratch(table, 6, 4, 3, 1));
    CHECK(weight_gradient_scratch(table, 6, 4, 3, 3) - weight_gradient_scratch(table, 6, 4, 3, 2) == weight_gradient_scratch(table, 6, 4, 3, 2) - weight_gradient_scratch(table, 6, 4, 3, 1));
    CHECK(weight_gradient_scratch(table, 6, 4, 3, 2) > weight_gradient_scratch(table, 6, 4, 3, 1));
}

TEST_CASE("bias_gradient: eight rows at a time in float, what is left one by one, these in double") {
    serial_executor serial;
    // 2^24 + 1 is no float: of rows added in float as a tree both ones are lost, of rows added in double neither.
    for (std::size_t const rows : {3U, 8U, 10U, 16U}) {
        std::vector<float> dy(rows * 3, 0.0F);
        dy[0] = 16777216.0F;
        dy[3] = dy[6] = 1;
        dy[(rows - 1) * 3 + 2] = 5;
        std::vector<float> db(3);
        bias_gradient(serial, {dy.data(), rows, 3}, 2, db.data());
        CHECK(static_cast<double>(db[0]) == (rows < 8 ? 33554436.0 : 33554432.0));
        CHECK(db[1] == 0);
        CHECK(db[2] == 10);
    }
}

TEST_CASE("layer_norm_gradient: weight and bias against the formula in double, any number of rows and threads, padded rows") {
    for (std::size_t const rows : {1U, 7U, 8U, 9U, 33U})
        for (std::size_t const width : {1U, 5U, 16U, 300U})
            for (int const threads : {1, 3}) {
                thread_team team{threads};
                auto const x = normal_floats(rows * (width + 3), rows + width), dy = normal_floats(rows * (width + 1), 50 + rows);
                double const eps = 1e-2;
                std::vector<double> scratch(2 * rows), weight(width), bias(width);
                for (std::size_t r = 0; r < rows; ++r) {
                    double mean = 0, square = 0;
                    for (std::size_t c = 0; c < width; ++c) mean += static_cast<double>(x[r * (width + 3) + c]) / static_cast<double>(width);
                    for (std::size_t c = 0; c < width; ++c) square += std::pow(static_cast<double>(x[r * (width + 3) + c]) - mean, 2) / static_cast<double>(width);
                    for (std::size_t c = 0; c < width; ++c) {
                        double const g = static_cast<double>(dy[r * (width + 1) + c]);
                        weight[c] += g * (static_cast<double>(x[r * (width + 3) + c]) - mean) / std::sqrt(square + eps);
                        bias[c] += g;
                    }
                }
                std::vector<float> dweight(width, NAN), dbias(width, NAN);
                layer_norm_gradient(team, {x.data(), rows, width, width + 3}, {dy.data(), rows, width, width + 1}, eps, scratch, dweight.data(), dbias.data());
                for (std::size_t c = 0; c < width; ++c) {
                    CHECK(static_cast<double>(dweight[c]) == doctest::Approx(weight[c]).epsilon(1e-6).scale(1e-3));
                    CHECK(static_cast<double>(dbias[c]) == doctest::Approx(bias[c]).epsilon(1e-6).scale(1e-3));
                }
                std::vector<double> little(2 * rows - 1);
                CHECK_THROWS_AS(layer_norm_gradient(team, {x.data(), rows, width, width + 3}, {dy.data(), rows, width, width + 1}, eps, little, dweight.data(), dbias.data()), precondition_error);
                CHECK_THROWS_AS(layer_norm_gradient(team, {x.data(), rows, width, width + 3}, {dy.data(), rows, width + 1}, eps, scratch, dweight.data(), dbias.data()), precondition_error);
            }
    // A row of one value, and eps 0: no division by zero.
    serial_executor serial;
    std::vector<float> const same(4, 2.0F), g{1, 2, 3, 4};
    std::vector<float> dweight(4, NAN), dbias(4, NAN);
    std::vector<double> scratch(2);
    layer_norm_gradient(serial, {same.data(), 1, 4}, {g.data(), 1, 4}, 0, scratch, dweight.data(), dbias.data());
    CHECK(dweight == std::vector<float>(4, 0.0F));
    CHECK(dbias == g);
}
