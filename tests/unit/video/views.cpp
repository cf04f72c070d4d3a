#include <zeroi2v/video/views.hpp>

#include "support.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

using namespace zeroi2v;

TEST_CASE("view_builder: crop-major views, each slot the resized, cropped, normalised frame of its index") {
    input_config const config{.sampling = sampling_method::dense,
                              .interval = 3,
                              .clips = 2,
                              .crops = 3,
                              .resize = 12,
                              .normalize = normalization::clip};
    std::size_t const side = 10;
    frame_indices const indices =
        frame_sampler{config.sampling, 4, config.interval, config.clips}.sample(7); // wraps: repeated frames
    view_builder views{config, side, indices};
    std::vector<std::size_t> const wanted = views.wanted();
    CHECK(std::is_sorted(wanted.begin(), wanted.end()));
    CHECK_FALSE(views.complete());
    std::vector<image> frames;
    for (std::size_t i = 0; i < 7; ++i) frames.push_back(video_test::noise(15, 21, static_cast<std::uint32_t>(i)));
    for (std::size_t i = 7; i-- > 0;) views.put(i, view_pixels(frames[i])); // any order; unwanted ones are ignored
    REQUIRE(views.complete());
    frame_indices const repeated = std::move(views).indices();
    clip_tensor const clip = std::move(views).clip();
    REQUIRE(clip.extents() == dims<5>{6, 4, 3, 10, 10});
    normalizer const normalize{config.normalize};
    image_size const target = resized_to_short_side({15, 21}, 12);
    auto const windows = three_crops(target, side);
    for (std::size_t crop = 0; crop < 3; ++crop)
        for (std::size_t k = 0; k < 2; ++k)
            for (std::size_t t = 0; t < 4; ++t) {
                std::size_t const v = crop * 2 + k;
                CHECK(repeated(v, t) == indices(k, t));
                image const whole = resize(view_pixels(frames[static_cast<std::size_t>(indices(k, t))]), target);
                for (std::size_t c = 0; c < 3; ++c)
                    for (std::size_t y = 0; y < side; ++y)
                        for (std::size_t x = 0; x < side; ++x)
                            REQUIRE(clip(v, t, c, y, x)
                                    == normalize(c, whole(y + windows[crop].top, x + windows[crop].left, c)));
            }
}

TEST_CASE("view_builder refuses settings that no model can take, a frame put twice, and being asked too early") {
    frame_indices const indices = frame_sampler{sampling_method::uniform, 2, 1, 1}.sample(9);
    CHECK(video_test::code_of([&] { return view_builder{input_config{.resize = 223}, 224, indices}; }) == "bad_config");
    CHECK(video_test::code_of([&] { return view_builder{input_config{.crops = 2}, 224, indices}; }) == "bad_config");
    CHECK(video_test::code_of([&] { return view_builder{input_config{}, 0, indices}; }) == "bad_config");
    view_builder views{input_config{.resize = 8}, 8, indices};
    CHECK(video_test::code_of([&] { return std::move(views).clip(); }) == "precondition");
    image const one{9, 9, 3};
    image const other{9, 10, 3};
    views.put(views.wanted().front(), view_pixels(one));
    // one index again and again is not the others
    CHECK(video_test::code_of([&] { views.put(views.wanted().front(), view_pixels(one)); }) == "precondition");
    CHECK(!views.complete());
    CHECK(video_test::code_of([&] { return std::move(views).clip(); }) == "precondition");
    views.put(views.wanted().back(), view_pixels(other));
    CHECK(views.complete());
    auto const words = [](input_config const& config, std::size_t side) {
        try {
            static_cast<void>(view_builder::checked(config, side));
        } catch (model_error const& fault) {
            return std::string{fault.what()};
        }
        return std::string{"nothing thrown"};
    };
    for (std::size_t const crops : {0U, 2U, 4U}) CHECK(words({.crops = crops, .resize = 8}, 8) == "crops: " + std::to_string(crops) + " found, 1 or 3 expected");
    for (std::size_t const crops : {1U, 3U}) CHECK(words({.crops = crops, .resize = 8}, 8) == "nothing thrown");
    CHECK(words({.resize = 7}, 8) == "resize: 7 found, at least the model's image size 8 expected");
    CHECK(words({.resize = 7}, 0) == "resize: 7 found, at least the model's image size 0 expected");
}

TEST_CASE("view_builder: each frame is resized by its own size") {
    frame_indices const indices = frame_sampler{sampling_method::uniform, 3, 1, 1}.sample(9);
    input_config const config{.crops = 3, .resize = 9};
    std::vector<image_size> const sizes{{15, 21}, {40, 20}, {15, 21}};
    view_builder all{config, 8, indices};
    REQUIRE(all.wanted().size() == 3);
    std::vector<image> frames;
    for (std::size_t i = 0; i < 3; ++i) frames.push_back(video_test::noise(sizes[i].height, sizes[i].width, static_cast<std::uint32_t>(i)));
    for (std::size_t i = 0; i < 3; ++i) all.put(all.wanted()[i], view_pixels(frames[i]));
    auto const wanted = all.wanted();
    auto const clip = std::move(all).clip();
    for (std::size_t i = 0; i < 3; ++i) { // as in a video of that size alone
        view_builder alone{config, 8, indices};
        for (std::size_t const index : wanted) alone.put(index, view_pixels(frames[i]));
        auto const expected = std::move(alone).clip();
        for (std::size_t v = 0; v < 3; ++v) CHECK(std::equal(&clip(v, i, 0, 0, 0), &clip(v, i, 0, 0, 0) + 3 * 8 * 8, &expected(v, i, 0, 0, 0)));
    }
}

TEST_CASE("view_builder asks for each frame once, ascending, and takes indices in any order of its views") {
    frame_indices indices{std::size_t{2}, std::size_t{3}};
    std::ranges::copy(std::array<std::int64_t, 6>{7, 0, 7, 3, 0, 12}, indices.begin());
    view_builder views{input_config{.clips = 2, .crops = 3, .resize = 6, .normalize = normalization::clip}, 4, indices};
    CHECK(views.wanted() == std::vector<std::size_t>{0, 3, 7, 12});
    image const frame = video_test::noise(6, 8);
    for (std::size_t const n : {7U, 12U, 0U, 3U}) {
        CHECK_FALSE(views.complete());
        image numbered{frame};
        for (auto& byte : numbered) byte = static_cast<std::uint8_t>(n);
        views.put(n, view_pixels(numbered));
    }
    CHECK(views.complete());
    auto const repeated = std::move(views).indices();
    auto const clip = std::move(views).clip();
    REQUIRE(repeated.extents() == dims<2>{6, 3});
    normalizer const normalize{normalization::clip};
    for (std::size_t v = 0; v < 6; ++v)
        for (std::size_t t = 0; t < 3; ++t) {
            CHECK(repeated(v, t) == indices(v % 2, t));
            for (std::size_t c = 0; c < 3; ++c) CHECK(clip(v, t, c, 3, 3) == normalize(c, static_cast<std::uint8_t>(indices(v % 2, t))));
        }
}
