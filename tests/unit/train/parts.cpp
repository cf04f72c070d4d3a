// What a step is made of: loss, schedule, dropout, AdamW, the tree of sums, weight gradients.
#include <zeroi2v/train/adamw.hpp>
#include <zeroi2v/train/dropout.hpp>
#include <zeroi2v/train/gradient_tree.hpp>
#include <zeroi2v/train/linear_backward.hpp>
#include <zeroi2v/train/loss.hpp>
#include <zeroi2v/train/schedule.hpp>

#include "../ops/tables.hpp"

#include <zeroi2v/parallel/thread_team.hpp>

#include <numeric>

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
    CHECK_THROWS_AS(static_cast<void>(cross_entropy(std::vector<float>{0, 0, 0}, std::vector<std::int64_t>{3}, {}, 0, 1, one)), precondition_error);
    CHECK(label_in_top(std::vector<float>{1, 3, 2}, 2, 2));
    CHECK_FALSE(label_in_top(std::vector<float>{1, 3, 2}, 2, 1));
    CHECK_FALSE(label_in_top(std::vector<float>{1, 1}, 1, 1));
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
    float const huge = 1e30F;
    adamw_tensor const over{p.data(), &huge, m.data(), v.data(), 1, lr, 0};
    auto const before = p;
    CHECK_FALSE(adamw{{}, 11}.stays_finite(team, over));
    CHECK(p == before);
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
