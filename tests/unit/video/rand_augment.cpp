// Every change of pixels against a plain implementation of its formula; the draws value by value from the generator.
#include <zeroi2v/video/rand_augment.hpp>

#include "support.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <set>

using namespace zeroi2v;

namespace {

bool equal(image const& a, image const& b) { return a.extents() == b.extents() && std::equal(a.begin(), a.end(), b.begin()); }

image changed(image pixels, picture_change kind, double amount) {
    apply({kind, amount}, pixels);
    return pixels;
}

std::uint8_t nearest_byte(double value) { return static_cast<std::uint8_t>(std::min(std::max(std::floor(value + 0.5), 0.0), 255.0)); }

using pixel_map = std::function<double(image const&, std::size_t y, std::size_t x, std::size_t c)>;

/// The picture whose values a formula gives, rounded to bytes.
image made(image const& from, pixel_map const& value) {
    image result{from};
    for (std::size_t y = 0; y < from.extent(0); ++y)
        for (std::size_t x = 0; x < from.extent(1); ++x)
            for (std::size_t c = 0; c < 3; ++c) result(y, x, c) = nearest_byte(value(from, y, x, c));
    return result;
}

double luma(image const& p, std::size_t y, std::size_t x) { return 0.299 * p(y, x, 0) + 0.587 * p(y, x, 1) + 0.114 * p(y, x, 2); }

/// Noise of which channel 0 has all bytes, 1 those of 40 to 199, and 2 those of 100 to 131.
image unlike_channels(std::size_t height, std::size_t width) {
    image pixels = video_test::noise(height, width, 77);
    for (std::size_t i = 0; i < pixels.size(); i += 3) {
        pixels.data()[i + 1] = static_cast<std::uint8_t>(40 + pixels.data()[i + 1] % 160);
        pixels.data()[i + 2] = static_cast<std::uint8_t>(100 + pixels.data()[i + 2] % 32);
    }
    return pixels;
}

/// Column x, row y of the source that the affine change shows at (column, row), by a 2x3 matrix about the picture's middle.
pixel_map moved_by(std::array<double, 6> const& m) {
    return [m](image const& p, std::size_t y, std::size_t x, std::size_t c) {
        double const h = static_cast<double>(p.extent(0)), w = static_cast<double>(p.extent(1));
        double const dx = static_cast<double>(x) + 0.5 - w / 2, dy = static_cast<double>(y) + 0.5 - h / 2;
        auto const column = static_cast<long>(std::floor(m[0] * dx + m[1] * dy + m[2] + w / 2));
        auto const row = static_cast<long>(std::floor(m[3] * dx + m[4] * dy + m[5] + h / 2));
        if (column < 0 || row < 0 || column >= static_cast<long>(p.extent(1)) || row >= static_cast<long>(p.extent(0))) return 128.0;
        return static_cast<double>(p(static_cast<std::size_t>(row), static_cast<std::size_t>(column), c));
    };
}

/// PIL's ImageOps.equalize, one channel.
std::array<int, 256> equalized(image const& p, std::size_t c) {
    std::array<int, 256> count{}, table{};
    for (std::size_t y = 0; y < p.extent(0); ++y)
        for (std::size_t x = 0; x < p.extent(1); ++x) ++count[p(y, x, c)];
    int last = 255;
    while (last > 0 && count[static_cast<std::size_t>(last)] == 0) --last;
    int const step = (static_cast<int>(p.extent(0) * p.extent(1)) - count[static_cast<std::size_t>(last)]) / 255;
    int n = step / 2;
    for (int v = 0; v < 256; ++v) {
        table[static_cast<std::size_t>(v)] = step == 0 ? v : std::min(n / step, 255);
        n += count[static_cast<std::size_t>(v)];
    }
    return table;
}

} // namespace

TEST_CASE("random_sequence: the generator's values one after the other, one for each call") {
    counter_rng const values{99, 7};
    random_sequence random{99, 7};
    std::set<std::size_t> drawn;
    for (std::uint64_t i = 0; i < 400; i += 4) {
        CHECK(random.uniform() == static_cast<double>(values.uniform(i)));
        CHECK(random.uniform(-2, 5) == -2 + 7 * static_cast<double>(values.uniform(i + 1)));
        CHECK(random.normal() == static_cast<double>(values.normal(i + 2)));
        std::size_t const below = random.below(6);
        CHECK(below == std::uint64_t{values.bits(i + 3)} * 6 / 0x100000000U);
        drawn.insert(below);
    }
    CHECK(drawn == std::set<std::size_t>{0, 1, 2, 3, 4, 5});
}

TEST_CASE("draw_changes: kind, strength, sign and presence are four values a layer, whether it is left out or not") {
    using enum picture_change;
    std::set<picture_change> kinds;
    std::size_t count = 0, clamped = 0;
    for (double const magnitude : {7.0, 0.0, 10.0})
        for (std::uint64_t seed = 0; seed < 300; ++seed) {
            counter_rng const values{seed, 5};
            std::vector<drawn_change> wanted;
            for (std::uint64_t layer = 0; layer < 4; ++layer) {
                auto const kind = static_cast<picture_change>(std::uint64_t{values.bits(4 * layer)} * 15 / 0x100000000U);
                double const drawn = magnitude + static_cast<double>(values.normal(4 * layer + 1)) / 2, level = std::min(std::max(drawn, 0.0), 10.0) / 10;
                clamped += drawn != level * 10 && (drawn < 0 || drawn > 10) ? 1U : 0U;
                double const sign = values.uniform(4 * layer + 2) < 0.5F ? -1 : 1;
                if (values.uniform(4 * layer + 3) >= 0.5F) continue;
                double amount = 0;
                if (kind == brightness || kind == contrast || kind == saturation || kind == sharpness) amount = 1 + sign * 0.9 * level;
                if (kind == posterize) amount = 4 - std::floor(4 * level);
                if (kind == solarize) amount = 256 * (1 - level);
                if (kind == solarize_add) amount = 110 * level;
                if (kind == rotate) amount = sign * level * 3.14159265358979323846 / 6; // 30 degrees at most
                if (kind == shear_x || kind == shear_y) amount = sign * 0.3 * level;
                if (kind == translate_x || kind == translate_y) amount = sign * 0.45 * level;
                wanted.push_back({kind, amount});
            }
            random_sequence random{seed, 5};
            auto const found = draw_changes(4, magnitude, random);
            CHECK(found == wanted);
            CHECK(random.uniform() == static_cast<double>(values.uniform(16)));
            count += found.size();
            for (auto const& each : found) kinds.insert(each.kind);
        }
    CHECK(kinds.size() == picture_change_count);
    CHECK(clamped > 200);
    CHECK(count > 1600); // half of 3600
    CHECK(count < 2000);
    random_sequence random{1, 5};
    CHECK(draw_changes(0, 7, random).empty());
    // Seeds of which the value that decides is one half itself: that is a plus, and nothing done.
    REQUIRE(counter_rng{374232585}.uniform(2) == 0.5F);
    random_sequence plus{374232585, 0}, nothing{23873455, 0};
    auto const sheared = draw_changes(1, 7, plus);
    REQUIRE(sheared.size() == 1);
    CHECK(sheared[0].kind == shear_x);
    CHECK(sheared[0].amount > 0.2);
    REQUIRE(counter_rng{23873455}.uniform(3) == 0.5F);
    CHECK(draw_changes(1, 7, nothing).empty());
}

TEST_CASE("colours: each change is its formula at every strength") {
    using enum picture_change;
    image const base = unlike_channels(23, 31);
    double mean = 0;
    for (std::size_t y = 0; y < 23; ++y)
        for (std::size_t x = 0; x < 31; ++x) mean += luma(base, y, x);
    mean /= 23.0 * 31.0;
    for (double const f : {0.0, 0.37, 0.5, 1.0, 1.63, 1.9}) {
        CAPTURE(f);
        CHECK(equal(changed(base, brightness, f), made(base, [f](image const& p, std::size_t y, std::size_t x, std::size_t c) { return p(y, x, c) * f; })));
        CHECK(equal(changed(base, contrast, f), made(base, [f, mean](image const& p, std::size_t y, std::size_t x, std::size_t c) { return mean + f * (p(y, x, c) - mean); })));
        CHECK(equal(changed(base, saturation, f),
                    made(base, [f](image const& p, std::size_t y, std::size_t x, std::size_t c) { return luma(p, y, x) + f * (p(y, x, c) - luma(p, y, x)); })));
        // PIL's SMOOTH: 1 1 1, 1 5 1, 1 1 1 over 13; the border stays.
        CHECK(equal(changed(base, sharpness, f), made(base, [f](image const& p, std::size_t y, std::size_t x, std::size_t c) {
                        if (y == 0 || x == 0 || y + 1 == p.extent(0) || x + 1 == p.extent(1)) return static_cast<double>(p(y, x, c));
                        int const around = p(y - 1, x - 1, c) + p(y - 1, x, c) + p(y - 1, x + 1, c) + p(y, x - 1, c) + 5 * p(y, x, c) + p(y, x + 1, c) + p(y + 1, x - 1, c)
                                           + p(y + 1, x, c) + p(y + 1, x + 1, c);
                        double const smooth = static_cast<double>(around) / 13;
                        return smooth + f * (p(y, x, c) - smooth);
                    })));
    }
    CHECK(equal(changed(base, invert, 0), made(base, [](image const& p, std::size_t y, std::size_t x, std::size_t c) { return 255.0 - p(y, x, c); })));
    for (auto const& [bits, mask] : {std::pair{-1.0, 0}, {0.0, 0}, {1.0, 0x80}, {2.0, 0xc0}, {3.9, 0xe0}, {4.0, 0xf0}, {7.0, 0xfe}, {8.0, 0xff}, {9.5, 0xff}})
        CHECK(equal(changed(base, posterize, bits), made(base, [mask = mask](image const& p, std::size_t y, std::size_t x, std::size_t c) { return static_cast<double>(p(y, x, c) & mask); })));
    for (double const threshold : {0.0, 76.8, 128.0, 256.0})
        CHECK(equal(changed(base, solarize, threshold),
                    made(base, [threshold](image const& p, std::size_t y, std::size_t x, std::size_t c) { return p(y, x, c) < threshold ? p(y, x, c) : 255.0 - p(y, x, c); })));
    for (double const more : {0.0, 50.4, 110.0, 140.0})
        CHECK(equal(changed(base, solarize_add, more), made(base, [more](image const& p, std::size_t y, std::size_t x, std::size_t c) { return p(y, x, c) < 128 ? p(y, x, c) + more : p(y, x, c); })));
}

TEST_CASE("auto_contrast and equalize: PIL's tables, each channel for itself, and what has nothing to stretch stays") {
    using enum picture_change;
    image base = unlike_channels(40, 60); // 2400 pixels: a step of 9 in channel 0
    CHECK(equal(changed(base, auto_contrast, 0), made(base, [](image const& p, std::size_t y, std::size_t x, std::size_t c) {
                    int low = 255, high = 0;
                    for (std::size_t i = c; i < p.size(); i += 3) low = std::min<int>(low, p.data()[i]), high = std::max<int>(high, p.data()[i]);
                    return (p(y, x, c) - low) * 255.0 / (high - low);
                })));
    image small{base};
    for (std::size_t c = 0; c < 3; ++c) {
        auto const table = equalized(base, c);
        for (std::size_t i = c; i < base.size(); i += 3) small.data()[i] = static_cast<std::uint8_t>(table[base.data()[i]]);
    }
    CHECK(equal(changed(base, equalize, 0), small));
    // 509 pixels below the last value make a step of 1: the last value would be 509 of 255.
    image steep{std::size_t{6}, std::size_t{100}, std::size_t{3}};
    for (std::size_t i = 0; i < steep.size(); ++i) steep.data()[i] = static_cast<std::uint8_t>(i / 3 < 509 ? i / 3 % 120 : 200);
    auto const table = equalized(steep, 0);
    REQUIRE(table[200] == 255);
    CHECK(equal(changed(steep, equalize, 0), made(steep, [&](image const& p, std::size_t y, std::size_t x, std::size_t c) { return static_cast<double>(table[p(y, x, c)]); })));
    // One value in each channel, and 254 pixels below the last value: too few for a step.
    image flat{std::size_t{20}, std::size_t{20}, std::size_t{3}}, few{flat};
    for (std::size_t i = 0; i < flat.size(); ++i) {
        flat.data()[i] = static_cast<std::uint8_t>(i % 3 * 60 + 9);
        few.data()[i] = static_cast<std::uint8_t>(i / 3 < 254 ? i / 3 % 100 : 180);
    }
    CHECK(equal(changed(flat, auto_contrast, 0), flat));
    CHECK(equal(changed(flat, equalize, 0), flat));
    CHECK(equal(changed(few, equalize, 0), few));
    few.data()[254 * 3] = few.data()[254 * 3 + 1] = few.data()[254 * 3 + 2] = 100; // one more: a step of 1, no half
    auto const stretched = equalized(few, 0);
    CHECK(stretched[100] != 100);
    CHECK(equal(changed(few, equalize, 0), made(few, [&](image const& p, std::size_t y, std::size_t x, std::size_t c) { return static_cast<double>(stretched[p(y, x, c)]); })));
}

TEST_CASE("geometry: every pixel comes from where the matrix about the middle says, grey where nothing is") {
    using enum picture_change;
    for (auto const& [height, width] : {std::pair<std::size_t, std::size_t>{23, 31}, {32, 20}, {1, 9}, {1, 1}}) {
        image const base = video_test::noise(height, width, 5);
        double const h = static_cast<double>(height), w = static_cast<double>(width);
        for (double const a : {0.0, 0.1, -0.1, 0.2345, -0.31, 0.45, 3.1}) {
            CAPTURE(a);
            CHECK(equal(changed(base, rotate, a), made(base, moved_by({std::cos(a), -std::sin(a), 0, std::sin(a), std::cos(a), 0}))));
            CHECK(equal(changed(base, shear_x, a), made(base, moved_by({1, a, 0, 0, 1, 0}))));
            CHECK(equal(changed(base, shear_y, a), made(base, moved_by({1, 0, 0, a, 1, 0}))));
            CHECK(equal(changed(base, translate_x, a), made(base, moved_by({1, 0, a * w, 0, 1, 0}))));
            CHECK(equal(changed(base, translate_y, a), made(base, moved_by({1, 0, 0, 0, 1, a * h}))));
            if (a == 0) CHECK(equal(changed(base, rotate, a), base));
        }
    }
    image const base = video_test::noise(20, 30, 5);
    auto const right = changed(base, translate_x, 0.1), down = changed(base, translate_y, -0.1); // 3 columns, 2 rows
    for (std::size_t y = 0; y < 20; ++y)
        for (std::size_t x = 0; x < 30; ++x) {
            CHECK(right(y, x, 1) == (x + 3 < 30 ? base(y, x + 3, 1) : 128));
            CHECK(down(y, x, 2) == (y >= 2 ? base(y - 2, x, 2) : 128));
        }
    auto const turned = changed(base, rotate, std::numbers::pi);
    CHECK(turned(4, 6, 0) == base(15, 23, 0));
}

TEST_CASE("pictures of one pixel and of none are changed without harm") {
    for (std::size_t kind = 0; kind < picture_change_count; ++kind) {
        image one{std::size_t{1}, std::size_t{1}, std::size_t{3}}, none{std::size_t{0}, std::size_t{5}, std::size_t{3}};
        CHECK_NOTHROW(apply({static_cast<picture_change>(kind), 0.5}, one));
        CHECK_NOTHROW(apply({static_cast<picture_change>(kind), 0.5}, none));
    }
}
