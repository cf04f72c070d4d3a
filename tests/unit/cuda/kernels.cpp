#include <zeroi2v/cuda/kernels/activation.hpp>
#include <zeroi2v/cuda/kernels/head.hpp>
#include <zeroi2v/cuda/kernels/patches.hpp>
#include <zeroi2v/cuda/kernels/rows.hpp>

#include "../ops/activations.hpp"
#include "host_block.hpp"

#include <zeroi2v/core/random.hpp>
#include <zeroi2v/cuda/kernel_choice.hpp>
#include <zeroi2v/ops/reference/layer_norm.hpp>
#include <zeroi2v/ops/reference/patch_embed.hpp>
#include <zeroi2v/video/normalize.hpp>
#include <zeroi2v/video/resize.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

using namespace zeroi2v;
using namespace zeroi2v::cuda_kernels;
using cuda_test::run_kernel;

namespace {

float value_of(float x) { return x; }
template <class E>
float value_of(E x) { return static_cast<float>(x); }

template <class E>
std::vector<E> noise(std::size_t count, std::uint64_t seed, float deviation = 1) {
    std::vector<E> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = E(deviation * counter_rng{seed, 1}.normal(i));
    return values;
}

template <class E>
constexpr double unit = sizeof(E) == 4 ? 0x1p-24 : std::is_same_v<E, bf16> ? 0x1p-8 : 0x1p-11; // half an ulp of 1

/// add_norm as the engine launches it, against double; rows lie `gap` apart and everything else stays as it was.
template <class E, class Out>
void check_add_norm(std::size_t rows, std::size_t columns, bool with_delta, std::size_t gap) {
    CAPTURE(rows);
    CAPTURE(columns);
    std::size_t const stride = columns + gap;
    auto x = noise<float>(rows * stride, 1, 3);
    auto const before = x;
    auto const delta = noise<E>(rows * columns, 2);
    auto const weight = noise<float>(columns, 3), bias = noise<float>(columns, 4);
    std::vector<Out> y(rows * stride, Out(99.0F));
    detail::with_row_shape(columns, [&]<int Width, int Groups>(detail::constant<Width>, detail::constant<Groups>) {
        CHECK(columns <= static_cast<std::size_t>(warp_row<Width, Groups>::capacity));
        run_kernel<add_norm<E, Out, Width, Groups>>(row_blocks(rows), row_threads, 0,
                                                    {.x = x.data(), .x_stride = stride, .delta = with_delta ? delta.data() : nullptr, .delta_stride = columns,
                                                     .y = y.data(), .y_stride = stride, .weight = weight.data(), .bias = bias.data(), .rows = rows,
                                                     .columns = static_cast<int>(columns), .epsilon = 1e-5F});
    });
    std::vector<double> expected(columns), wide(columns);
    std::vector<double> const w(weight.begin(), weight.end()), b(bias.begin(), bias.end());
    for (std::size_t r = 0; r < rows; ++r) {
        for (std::size_t c = 0; c < columns; ++c) {
            float const sum = with_delta ? before[r * stride + c] + value_of(delta[r * columns + c]) : before[r * stride + c];
            REQUIRE(x[r * stride + c] == sum);
            wide[c] = static_cast<double>(sum);
        }
        reference::layer_norm<double>({wide.data(), 1, columns}, std::span{w}, std::span{b}, {expected.data(), 1, columns}, 1e-5);
        for (std::size_t c = 0; c < columns; ++c) {
            double const found = static_cast<double>(value_of(y[r * stride + c]));
            REQUIRE(std::abs(found - expected[c]) <= 2e-6 + std::abs(expected[c]) * unit<Out> * 1.01);
        }
        for (std::size_t c = columns; c < stride; ++c) {
            REQUIRE(x[r * stride + c] == before[r * stride + c]);
            REQUIRE(value_of(y[r * stride + c]) == 99.0F);
        }
    }
}

} // namespace

TEST_CASE("cuda add_norm: every shape of row, with and without a delta, strides") {
    for (std::size_t const columns : {1U, 3U, 4U, 37U, 48U, 96U, 128U, 132U, 768U, 770U, 1024U, 1028U, 4096U}) {
        check_add_norm<float, float>(5, columns, true, 4);
        check_add_norm<bf16, bf16>(3, columns, false, 0);
        check_add_norm<f16, f16>(4, columns, true, 8);
        check_add_norm<bf16, float>(1, columns, true, 0);
    }
}

TEST_CASE("cuda add_norm: large means, constant rows") {
    for (float const level : {0.0F, 1e6F}) {
        std::vector<float> x(768, level), y(768), one(768, 1.0F), zero(768, 0.5F);
        if (level != 0) for (std::size_t i = 0; i < x.size(); ++i) x[i] += 0.25F * static_cast<float>(i % 2);
        run_kernel<add_norm<float, float, 4, 6>>(1, row_threads, 0, {.x = x.data(), .x_stride = 768, .delta = nullptr, .delta_stride = 0, .y = y.data(), .y_stride = 768,
                                                                     .weight = one.data(), .bias = zero.data(), .rows = 1, .columns = 768, .epsilon = 1e-5F});
        double const deviation = std::sqrt(0.125 * 0.125 + 1e-5);
        for (std::size_t i = 0; i < y.size(); ++i)
            CHECK(static_cast<double>(y[i]) == doctest::Approx(level == 0 ? 0.5 : 0.5 + (i % 2 == 0 ? -0.125 : 0.125) / deviation).epsilon(1e-5));
    }
}

TEST_CASE("cuda embed: class token, positions, times, ln_pre") {
    for (std::size_t const columns : {24U, 30U, 96U}) {
        constexpr std::size_t frames = 4, clip = 2, tokens = 5;
        auto const patches = noise<float>(frames * (tokens - 1) * columns, 1), cls = noise<float>(columns, 2), position = noise<float>(tokens * columns, 3);
        auto const time = noise<float>(clip * columns, 4), weight = noise<float>(columns, 5), bias = noise<float>(columns, 6);
        std::vector<float> x(frames * tokens * columns + 1, 99.0F);
        detail::with_row_shape(columns, [&]<int Width, int Groups>(detail::constant<Width>, detail::constant<Groups>) {
            run_kernel<embed<Width, Groups>>(row_blocks(frames * tokens), row_threads, 0,
                                             {.patches = patches.data(), .class_embedding = cls.data(), .position = position.data(), .time = time.data(),
                                              .weight = weight.data(), .bias = bias.data(), .x = x.data(), .rows = frames * tokens,
                                              .tokens = static_cast<int>(tokens), .clip_frames = clip, .columns = static_cast<int>(columns), .epsilon = 1e-5F});
        });
        CHECK(x.back() == 99.0F);
        std::vector<double> const w(weight.begin(), weight.end()), b(bias.begin(), bias.end());
        std::vector<double> sum(columns), expected(columns);
        for (std::size_t t = 0; t < frames; ++t)
            for (std::size_t n = 0; n < tokens; ++n) {
                for (std::size_t c = 0; c < columns; ++c) {
                    float const token = n == 0 ? cls[c] : patches[(t * (tokens - 1) + n - 1) * columns + c];
                    sum[c] = static_cast<double>(token + position[n * columns + c] + time[t % clip * columns + c]);
                }
                reference::layer_norm<double>({sum.data(), 1, columns}, std::span{w}, std::span{b}, {expected.data(), 1, columns}, 1e-5);
                for (std::size_t c = 0; c < columns; ++c) REQUIRE(std::abs(static_cast<double>(x[(t * tokens + n) * columns + c]) - expected[c]) <= 4e-6);
            }
    }
}

TEST_CASE_TEMPLATE("cuda activate_in_place: every activation, any length, special values", E, float, bf16, f16) {
    std::size_t judged = 0;
    for (activation const act : test::all_activations())
        detail::with_activation(act, [&]<activation A>(std::integral_constant<activation, A>) {
            CAPTURE(to_string(A));
            using kernel = activate_in_place<E, A>;
            CHECK(std::string_view{kernel::name} == to_string(act));
            float const special = std::numeric_limits<float>::infinity();
            for (float const x : {special, -special, std::nanf(""), -1e30F, 1e30F, 0.0F, -0.0F, -88.0F})
                CHECK(test::value_error(A, x, device_activation<A>::value(x)) <= 1);
            for (std::size_t const count : {1U, 4U, 7U, 8U, 9U, 255U, 2048U, 2049U, 4103U}) {
                auto x = noise<E>(count + 1, count, 4);
                auto const before = x;
                run_kernel<kernel>(kernel::blocks(count), kernel::threads, 0, {x.data(), count});
                CHECK(value_of(x[count]) == value_of(before[count]));
                for (std::size_t i = 0; i < count; ++i) {
                    double const from = static_cast<double>(value_of(before[i])), expected = reference::activate(A, from);
                    double const found = static_cast<double>(value_of(x[i])), bound = test::rule_of(A, from, expected).value;
                    REQUIRE(std::abs(found - expected) <= bound + (sizeof(E) == 4 ? 0 : std::abs(expected) * unit<E>) + 6e-8);
                }
            }
            ++judged;
        });
    CHECK(judged == activation_count - 1);
}

TEST_CASE_TEMPLATE("cuda gather_patches: the rows of the reference, padded with zeros", E, float, bf16) {
    for (auto const& [image, patch] : {std::pair{std::size_t{8}, std::size_t{4}}, std::pair{std::size_t{28}, std::size_t{14}}}) {
        constexpr std::size_t frames = 2;
        std::size_t const patches = image / patch * (image / patch), values = 3 * patch * patch, padded = (values + 7) / 8 * 8;
        auto const pixels = noise<float>(frames * 3 * image * image, 1);
        std::vector<float> expected(frames * patches * values);
        reference::gather_patches<float>(view<float const, 4>{pixels.data(), frames, std::size_t{3}, image, image}, patch, {expected.data(), frames * patches, values});
        std::vector<E> rows(frames * patches * padded + 1, E(99.0F));
        run_kernel<gather_patches<E>>(patch_blocks(frames * patches, padded), patch_threads, 0,
                                      {.frames = pixels.data(), .rows = rows.data(), .count = frames, .row_elements = static_cast<int>(padded),
                                       .grid = {static_cast<int>(image), static_cast<int>(patch)}});
        CHECK(value_of(rows.back()) == 99.0F);
        for (std::size_t r = 0; r < frames * patches; ++r)
            for (std::size_t k = 0; k < padded; ++k)
                REQUIRE(value_of(rows[r * padded + k]) == (k < values ? value_of(E(expected[r * values + k])) : 0.0F));
    }
}

TEST_CASE("cuda gather_pixels: the bits of bilinear_resizer and normalizer") {
    struct entry {
        image_size from, to;
    };
    constexpr int side = 12, patch = 6;
    for (auto const& [from, to] : {entry{{17, 31}, {12, 22}}, entry{{31, 17}, {40, 21}}, entry{{5, 3}, {20, 12}}, entry{{64, 48}, {64, 48}}, entry{{1, 1}, {12, 12}}, entry{{97, 89}, {13, 12}}}) {
        std::vector<std::uint8_t> source(2 * from.height * from.width * 3);
        for (std::size_t i = 0; i < source.size(); ++i) source[i] = static_cast<std::uint8_t>(counter_rng{5, 2}.normal(i) * 80.0F + 128.0F);
        std::vector<crop_window> const windows{{0, 0, side, side}, {to.height - side, to.width - side, side, side}};
        normalizer const normalise{normalization::zeroi2v};
        std::vector<float> table(768);
        for (std::size_t c = 0; c < 3; ++c)
            for (std::size_t value = 0; value < 256; ++value) table[c * 256 + value] = normalise(c, static_cast<std::uint8_t>(value));
        std::vector<bilinear_tap> columns, lines;
        for (crop_window const& window : windows) {
            auto const across = bilinear_taps(from.width, to.width, window.left, side, true), down = bilinear_taps(from.height, to.height, window.top, side, false);
            columns.insert(columns.end(), across.begin(), across.end());
            lines.insert(lines.end(), down.begin(), down.end());
        }
        std::vector<pixel_job> const jobs{{1, 0, 2}, {0, 1, 0}, {1, 1, 1}};
        patch_grid const grid{side, patch};
        std::size_t const values = static_cast<std::size_t>(grid.values()), padded = (values + 7) / 8 * 8, patches = 4;
        std::vector<float> rows(3 * patches * padded, 99.0F);
        run_kernel<gather_pixels<float>>(patch_blocks(3 * patches, padded), patch_threads, 0,
                                         {.frames = source.data(), .jobs = jobs.data(), .columns = columns.data(), .lines = lines.data(), .table = table.data(),
                                          .rows = rows.data(), .count = 3, .width = static_cast<int>(from.width), .height = static_cast<int>(from.height),
                                          .row_elements = static_cast<int>(padded), .grid = grid});
        for (pixel_job const& job : jobs) {
            image cropped{std::size_t{side}, std::size_t{side}, std::size_t{3}};
            bilinear_resizer{from, to, windows[job.window]}(view_pixels(source.data() + job.frame * from.height * from.width * 3, from, from.width * 3), cropped);
            std::vector<float> normal(3 * side * side);
            normalise(view_pixels(cropped), view<float, 3>{normal.data(), std::size_t{3}, std::size_t{side}, std::size_t{side}});
            for (std::size_t p = 0; p < patches; ++p)
                for (std::size_t k = 0; k < values; ++k) {
                    auto const [channel, y, x] = grid.at(static_cast<int>(p), static_cast<int>(k));
                    REQUIRE(rows[(job.target * patches + p) * padded + k] == normal[static_cast<std::size_t>((channel * side + y) * side + x)]);
                }
        }
    }
}

TEST_CASE("cuda classify_mean: the mean over frames and its product with the classifier; exact for integers") {
    for (int const classes : {1, 4, 33, 70})
        for (int const columns : {1, 31, 96, 300}) {
            constexpr int clips = 2, frames = 4;
            auto const c = static_cast<std::size_t>(columns), k = static_cast<std::size_t>(classes);
            auto features = noise<float>(clips * frames * c, 1), weight = noise<float>(k * c, 2), bias = noise<float>(k, 3);
            for (auto* each : {&features, &weight, &bias})
                for (float& value : *each) value = std::round(value * 2) * 4; // means over 4 frames are integers
            for (cuda_test::schedule const order : cuda_test::schedules) {
                std::vector<float> logits(clips * k + 1, 99.0F);
                run_kernel<classify_mean>(clips * classify_mean::blocks_per_clip(classes), classify_mean::threads, classify_mean::shared_bytes_for(c),
                                          {.features = features.data(), .weight = weight.data(), .bias = bias.data(), .logits = logits.data(), .frames = frames,
                                           .columns = columns, .classes = classes},
                                          order);
                CHECK(logits.back() == 99.0F);
                for (std::size_t v = 0; v < clips; ++v)
                    for (std::size_t n = 0; n < k; ++n) {
                        double sum = static_cast<double>(bias[n]);
                        for (std::size_t i = 0; i < c; ++i) {
                            double mean = 0;
                            for (std::size_t t = 0; t < frames; ++t) mean += static_cast<double>(features[(v * frames + t) * c + i]) / frames;
                            sum += mean * static_cast<double>(weight[n * c + i]);
                        }
                        REQUIRE(static_cast<double>(logits[v * k + n]) == sum);
                    }
            }
        }
}

namespace {

struct no_arguments { float* out; };
/// What a device forbids or leaves open, one kernel each.
struct ends_before_copy {
    using arguments = no_arguments;
    template <class Block>
    static void run(Block& block, arguments const& a) { block.copy_16(block.memory(), a.out, true); block.commit(); }
};
struct splits_a_warp {
    using arguments = no_arguments;
    template <class Block>
    static void run(Block& block, arguments const&) {
        std::uint32_t r[4];
        if (block.lane() < 16) static_cast<void>(block.shuffle_xor(1, 1));
        else block.load_matrix(r, block.memory());
    }
};
struct leaves_a_warp {
    using arguments = no_arguments;
    template <class Block>
    static void run(Block& block, arguments const&) { if (block.lane() != 3) static_cast<void>(block.shuffle_xor(1, 1)); }
};
struct misaligned {
    using arguments = no_arguments;
    template <class Block>
    static void run(Block& block, arguments const&) { std::uint32_t r[4]; block.load_matrix(r, block.memory() + 8); }
};
template <bool Barrier>
struct neighbours {
    using arguments = no_arguments;
    template <class Block>
    static void run(Block& block, arguments const& a) {
        auto* const shared = reinterpret_cast<float*>(block.memory());
        shared[block.thread()] = static_cast<float>(block.thread());
        if constexpr (Barrier) block.barrier();
        a.out[block.thread()] = shared[(block.thread() + 1) % block.threads()];
    }
};
template <bool Wait>
struct copies {
    using arguments = no_arguments;
    template <class Block>
    static void run(Block& block, arguments const& a) {
        auto* const shared = reinterpret_cast<float*>(block.memory()) + block.thread() * 4;
        block.copy_16(shared, a.out + 256 + block.thread() * 4, true);
        block.commit();
        if constexpr (Wait) block.template wait<0>();
        a.out[block.thread()] = shared[0];
        if constexpr (!Wait) block.template wait<0>();
    }
};

} // namespace

TEST_CASE("cuda host_block: the emulation sees what a device would not forgive") {
    alignas(16) float out[256 + 4 * 64]{};
    CHECK_THROWS(run_kernel<ends_before_copy>(1, 64, 1024, {out}));
    CHECK_THROWS(run_kernel<splits_a_warp>(1, 64, 1024, {out}));
    CHECK_THROWS(run_kernel<leaves_a_warp>(1, 64, 1024, {out}));
    CHECK_THROWS(run_kernel<misaligned>(1, 64, 1024, {out}));
    auto const differs = [&]<class Kernel>(Kernel) {
        std::vector<float> first;
        bool different = false;
        for (cuda_test::schedule const order : cuda_test::schedules) {
            run_kernel<Kernel>(1, 64, 1024, {out}, order);
            if (first.empty()) first.assign(out, out + 64);
            different = different || std::memcmp(first.data(), out, 64 * sizeof(float)) != 0;
        }
        return different;
    };
    CHECK(differs(neighbours<false>{})); // a race
    CHECK_FALSE(differs(neighbours<true>{}));
    CHECK(differs(copies<false>{})); // read before it has arrived
    CHECK_FALSE(differs(copies<true>{}));
}
