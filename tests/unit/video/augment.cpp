// Augmentation: every change of pixels, crops that lie inside, one draw per clip, flips that exchange labels.
#include <zeroi2v/video/augment.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

using namespace zeroi2v;

namespace {

image gradient(std::size_t height, std::size_t width) {
    image pixels{height, width, std::size_t{3}};
    for (std::size_t y = 0; y < height; ++y)
        for (std::size_t x = 0; x < width; ++x)
            for (std::size_t c = 0; c < 3; ++c) pixels(y, x, c) = static_cast<std::uint8_t>((7 * y + 3 * x + 40 * c) % 251);
    return pixels;
}

bool equal(image const& a, image const& b) { return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin()); }

} // namespace

TEST_CASE("every change does what its name says, and nothing at strength none") {
    using enum picture_change;
    auto const base = gradient(20, 30);
    auto const changed = [&](picture_change kind, double amount) {
        image pixels{base};
        apply({kind, amount}, pixels);
        return pixels;
    };
    for (auto const& [kind, none] : {std::pair{brightness, 1.0}, {contrast, 1.0}, {saturation, 1.0}, {sharpness, 1.0}, {posterize, 8.0}, {solarize, 256.0}, {solarize_add, 0.0},
                                     {rotate, 0.0}, {shear_x, 0.0}, {shear_y, 0.0}, {translate_x, 0.0}, {translate_y, 0.0}})
        CHECK(equal(changed(kind, none), base));
    auto const half = changed(brightness, 0.5);
    auto const inverse = changed(invert, 0), posterized = changed(posterize, 2), solarized = changed(solarize, 128), added = changed(solarize_add, 50);
    auto const gray = changed(saturation, 0), flat = changed(contrast, 0);
    for (std::size_t i = 0; i < base.size(); ++i) {
        int const v = base.data()[i];
        CHECK(half.data()[i] == static_cast<int>(v * 0.5 + 0.5));
        CHECK(inverse.data()[i] == 255 - v);
        CHECK(posterized.data()[i] == (v & 0xc0));
        CHECK(solarized.data()[i] == (v < 128 ? v : 255 - v));
        CHECK(added.data()[i] == (v < 128 ? std::min(v + 50, 255) : v));
        CHECK(gray.data()[i] == gray.data()[i / 3 * 3]);
        CHECK(flat.data()[i] == flat.data()[0]);
    }
    auto const moved = changed(translate_x, 0.1); // 3 of 30 columns
    for (std::size_t x = 0; x < 30; ++x) CHECK(moved(5, x, 1) == (x + 3 < 30 ? base(5, x + 3, 1) : 128));
    auto const turned = changed(rotate, std::numbers::pi);
    CHECK(turned(4, 6, 0) == base(15, 23, 0));
    auto const stretched = changed(auto_contrast, 0);
    CHECK(*std::min_element(stretched.begin(), stretched.end()) == 0);
    CHECK(*std::max_element(stretched.begin(), stretched.end()) == 255);
    CHECK_FALSE(equal(changed(equalize, 0), base));
    CHECK_FALSE(equal(changed(sharpness, 1.9), base));
    CHECK_FALSE(equal(changed(shear_x, 0.3), base));
    CHECK_FALSE(equal(changed(shear_y, 0.3), base));
    for (std::size_t kind = 0; kind < picture_change_count; ++kind) { // a picture of one pixel, and of none
        image one{std::size_t{1}, std::size_t{1}, std::size_t{3}}, none{std::size_t{0}, std::size_t{5}, std::size_t{3}};
        apply({static_cast<picture_change>(kind), 0.5}, one);
        apply({static_cast<picture_change>(kind), 0.5}, none);
    }
}

TEST_CASE("changes are drawn by the seed, half of them, all kinds") {
    std::set<picture_change> kinds;
    std::size_t count = 0;
    for (std::uint64_t seed = 0; seed < 500; ++seed) {
        random_sequence random{seed, 1}, again{seed, 1};
        auto const drawn = draw_changes(4, 7, random);
        CHECK(drawn == draw_changes(4, 7, again));
        count += drawn.size();
        for (auto const& each : drawn) kinds.insert(each.kind);
    }
    CHECK(kinds.size() == picture_change_count);
    CHECK(count > 900);
    CHECK(count < 1100);
}

TEST_CASE("a random resized crop lies in the picture, with the areas and sides of the recipe") {
    for (image_size const size : {image_size{256, 340}, {1, 1}, {3, 500}, {17, 31}}) {
        double smallest = 1;
        for (std::uint64_t seed = 0; seed < 300; ++seed) {
            random_sequence random{seed, 0};
            auto const window = draw_resized_crop(size, random);
            CHECK(window.width > 0);
            CHECK(window.height > 0);
            CHECK(window.left + window.width <= size.width);
            CHECK(window.top + window.height <= size.height);
            smallest = std::min(smallest, static_cast<double>(window.width * window.height) / static_cast<double>(size.width * size.height));
            if (size.height == 256) {
                double const ratio = static_cast<double>(window.width) / static_cast<double>(window.height);
                CHECK(ratio > 0.74);
                CHECK(ratio < 1.35);
            }
        }
        if (size.height == 256) {
            CHECK(smallest > 0.079);
            CHECK(smallest < 0.15);
        }
    }
}

TEST_CASE("one draw per clip: equal frames stay equal; another stream is another clip; flips are even and exchange labels") {
    auto const frame = gradient(120, 90);
    for (augmentation const kind : {augmentation::k400, augmentation::ssv2}) {
        std::size_t flips = 0, same = 0;
        std::vector<float> before;
        for (std::uint64_t stream = 0; stream < 60; ++stream) {
            std::vector<float> a(3 * 32 * 32), b(3 * 32 * 32), c(3 * 32 * 32);
            clip_augmenter first{kind, 32, normalization::zeroi2v, {5, stream}}, second{kind, 32, normalization::zeroi2v, {5, stream}};
            first(view_pixels(frame), view<float, 3>{a.data(), 3, 32, 32});
            first(view_pixels(frame), view<float, 3>{b.data(), 3, 32, 32});
            second(view_pixels(frame), view<float, 3>{c.data(), 3, 32, 32});
            CHECK(a == b);
            CHECK(a == c);
            flips += first.flips() ? 1U : 0U;
            same += a == before ? 1U : 0U;
            before = a;
        }
        CHECK(flips > 15);
        CHECK(flips < 45);
        CHECK(same == 0);
    }
    CHECK(flipped_label(augmentation::ssv2, 86) == 87);
    CHECK(flipped_label(augmentation::ssv2, 94) == 93);
    CHECK(flipped_label(augmentation::ssv2, 167) == 166);
    CHECK(flipped_label(augmentation::ssv2, 5) == 5);
    CHECK(flipped_label(augmentation::k400, 86) == 86);
}

TEST_CASE("in_proportion: the same part of a picture of another size, never empty, never outside") {
    CHECK(in_proportion({3, 5, 20, 30}, {40, 60}, {40, 60}) == crop_window{3, 5, 20, 30});
    CHECK(in_proportion({10, 20, 20, 30}, {40, 60}, {80, 30}) == crop_window{20, 10, 40, 15});
    for (image_size const from : {image_size{1, 1}, image_size{7, 300}, image_size{64, 48}})
        for (image_size const to : {image_size{1, 1}, image_size{3, 2}, image_size{99, 1000}})
            for (std::size_t top = 0; top < from.height; ++top)
                for (std::size_t height : {std::size_t{1}, from.height - top}) {
                    crop_window const w = in_proportion({top, 0, height, from.width}, from, to);
                    CHECK(w.height >= 1);
                    CHECK(w.top + w.height <= to.height);
                    CHECK(w.left == 0);
                    CHECK(w.width == to.width);
                }
}

TEST_CASE("clip_augmenter: a change of size keeps the crop, the flip and the changes of the clip") {
    // a picture of one colour per quarter looks the same in every size
    auto const quarters = [](std::size_t height, std::size_t width) {
        image pixels{height, width, std::size_t{3}};
        for (std::size_t y = 0; y < height; ++y)
            for (std::size_t x = 0; x < width; ++x)
                for (std::size_t c = 0; c < 3; ++c) pixels(y, x, c) = static_cast<std::uint8_t>(60 + 40 * c + (y * 2 < height ? 0 : 50) + (x * 2 < width ? 0 : 25));
        return pixels;
    };
    std::size_t all_near = 0, all = 0;
    for (auto const kind : {augmentation::k400, augmentation::ssv2})
        for (std::uint64_t seed = 0; seed < 12; ++seed) {
            std::size_t const side = 32;
            std::vector<float> small(3 * side * side), large(small), again(small);
            clip_augmenter augment{kind, side, normalization::zeroi2v, {seed, 1}};
            auto const out = [&](std::vector<float>& to) { return view<float, 3>{to.data(), std::size_t{3}, side, side}; };
            augment(view_pixels(quarters(240, 320)), out(small));
            augment(view_pixels(quarters(480, 640)), out(large));
            augment(view_pixels(quarters(240, 320)), out(again));
            CHECK(small == again);
            std::size_t near = 0;
            for (std::size_t i = 0; i < small.size(); ++i) near += std::abs(small[i] - large[i]) < 0.1F ? 1U : 0U;
            CHECK(near * 10 >= small.size() * 6); // all but the borders of the quarters
            all_near += near;
            all += small.size();
        }
    CHECK(all_near * 10 >= all * 8);
}
