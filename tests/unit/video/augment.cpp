// Augmentation: a clip's draws replayed value by value, its pixels made again by plain loops; flips that exchange labels.
#include <zeroi2v/video/augment.hpp>

#include "encode.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
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

/// The generator's values in turn, counted here.
struct replay {
    counter_rng values;
    std::uint64_t at = 0;

    double next() { return static_cast<double>(values.uniform(at++)); }
    double between(double low, double high) { return low + (high - low) * next(); }
};

/// mmaction2's RandomResizedCrop: ten tries of four values each, the first that fits counts.
crop_window resized_crop(image_size picture, replay& random) {
    crop_window found{};
    bool there = false;
    for (int attempt = 0; attempt < 10; ++attempt) {
        double const ratio = std::exp(random.between(std::log(0.75), std::log(4.0 / 3)));
        double const target = static_cast<double>(picture.height) * static_cast<double>(picture.width) * random.between(0.08, 1);
        auto const w = static_cast<std::size_t>(std::lrint(std::sqrt(target * ratio))), h = static_cast<std::size_t>(std::lrint(std::sqrt(target / ratio)));
        double const x = random.next(), y = random.next();
        if (there || w < 1 || h < 1 || w > picture.width || h > picture.height) continue;
        there = true;
        found = {static_cast<std::size_t>(y * static_cast<double>(picture.height - h + 1)), static_cast<std::size_t>(x * static_cast<double>(picture.width - w + 1)), h, w};
    }
    if (there) return found;
    std::size_t const side = std::min(picture.height, picture.width);
    return {(picture.height - side) / 2, (picture.width - side) / 2, side, side};
}

/// mmaction2's RandomErasing: 2 % to a third of the area, sides as 3:10 to 10:3.
crop_window erased_rectangle(std::size_t side, replay& random) {
    crop_window found{};
    bool there = false;
    for (int attempt = 0; attempt < 10; ++attempt) {
        double const target = static_cast<double>(side * side) * random.between(0.02, 1.0 / 3);
        double const ratio = std::exp(random.between(std::log(0.3), std::log(1 / 0.3)));
        auto const h = static_cast<std::size_t>(std::sqrt(target * ratio)), w = static_cast<std::size_t>(std::sqrt(target / ratio));
        double const x = random.next(), y = random.next();
        if (there || h < 1 || w < 1 || h > side - 1 || w > side - 1) continue;
        there = true;
        found = {static_cast<std::size_t>(y * static_cast<double>(side - h)), static_cast<std::size_t>(x * static_cast<double>(side - w)), h, w};
    }
    return found;
}

image cut(image const& from, crop_window const& window) {
    image part{window.height, window.width, std::size_t{3}};
    for (std::size_t y = 0; y < window.height; ++y)
        for (std::size_t x = 0; x < window.width; ++x)
            for (std::size_t c = 0; c < 3; ++c) part(y, x, c) = from(window.top + y, window.left + x, c);
    return part;
}

/// One clip's augmentation made again: the draws by their numbers, the pixels by loops.
struct plain_clip {
    plain_clip(augmentation recipe, std::size_t of, image_size frame, std::uint64_t seed, std::uint64_t stream) : kind{recipe}, side{of}, random{counter_rng{seed, stream}} {
        flipped = random.next() < 0.5;
        random_sequence same{seed, stream};
        static_cast<void>(same.uniform());
        changes = draw_changes(4, 7, same);
        random.at += 16;
        if (kind == augmentation::ssv2) {
            erases = random.next() < 0.25;
            if (erases) erased = erased_rectangle(side, random);
        }
        inner = kind == augmentation::k400 ? resized_to_short_side(frame, 256) : frame;
        window = resized_crop(inner, random);
    }

    [[nodiscard]] std::vector<float> operator()(image const& frame, normalization how) const {
        image whole = kind == augmentation::k400 ? resize(view_pixels(frame), inner) : frame;
        if (kind == augmentation::k400)
            for (auto const& change : changes) apply(change, whole);
        image const part = resize(view_pixels(cut(whole, window)), {side, side});
        image done{part};
        for (std::size_t y = 0; y < side; ++y)
            for (std::size_t x = 0; x < side; ++x)
                for (std::size_t c = 0; c < 3; ++c) done(y, x, c) = part(y, flipped ? side - 1 - x : x, c);
        if (kind == augmentation::ssv2)
            for (auto const& change : changes) apply(change, done);
        std::uint64_t noise = random.at; // the same for every frame
        if (erases)
            for (std::size_t y = 0; y < erased.height; ++y)
                for (std::size_t x = 0; x < erased.width; ++x)
                    for (std::size_t c = 0; c < 3; ++c) done(erased.top + y, erased.left + x, c) = static_cast<std::uint8_t>(random.values.bits(noise++) >> 24U);
        auto const statistics = statistics_of(how);
        std::vector<float> out;
        for (std::size_t c = 0; c < 3; ++c)
            for (std::size_t y = 0; y < side; ++y)
                for (std::size_t x = 0; x < side; ++x) out.push_back((static_cast<float>(done(y, x, c)) - statistics.mean[c]) / statistics.deviation[c]);
        return out;
    }

    augmentation kind;
    std::size_t side;
    replay random;
    bool flipped{}, erases{};
    std::vector<drawn_change> changes;
    crop_window erased, window;
    image_size inner;
};

std::vector<float> augmented(clip_augmenter& augment, image_view frame, std::size_t side) {
    std::vector<float> out(3 * side * side);
    augment(frame, view<float, 3>{out.data(), std::size_t{3}, side, side});
    return out;
}

} // namespace

TEST_CASE("draw_resized_crop: ten tries of four values, whole sides, the first that fits; else the square in the middle") {
    for (image_size const size : {image_size{256, 340}, {340, 256}, {1, 1}, {3, 500}, {500, 3}, {17, 31}, {2, 2}, {5, 4}}) {
        CAPTURE(size.height);
        std::size_t squares = 0;
        for (std::uint64_t seed = 0; seed < 300; ++seed) {
            replay plain{counter_rng{seed, 3}};
            random_sequence random{seed, 3};
            auto const wanted = resized_crop(size, plain), window = draw_resized_crop(size, random);
            REQUIRE(window == wanted);
            CHECK(random.uniform() == static_cast<double>(plain.values.uniform(40))); // whatever fits, as many values are drawn
            CHECK(window.width > 0);
            CHECK(window.height > 0);
            CHECK(window.left + window.width <= size.width);
            CHECK(window.top + window.height <= size.height);
            squares += window == centre_crop(size, std::min(size.height, size.width)) ? 1U : 0U;
        }
        if (std::max(size.height, size.width) == 500) CHECK(squares == 300);
        if (size.height == 256) CHECK(squares < 3);
    }
}

TEST_CASE("clip_augmenter: every pixel of both recipes as plain loops make them, for frames with rows of padding too") {
    std::size_t flipped = 0, erased = 0, whole = 0;
    struct entry {
        augmentation kind;
        std::size_t height, width, side;
        std::uint64_t streams;
        normalization normalize;
    };
    for (entry const& e : {entry{augmentation::ssv2, 41, 60, 17, 40, normalization::clip}, entry{augmentation::ssv2, 64, 33, 24, 40, normalization::zeroi2v},
                           entry{augmentation::ssv2, 9, 12, 3, 60, normalization::clip}, entry{augmentation::ssv2, 12, 9, 2, 60, normalization::clip},
                           entry{augmentation::ssv2, 12, 9, 1, 60, normalization::clip}, entry{augmentation::k400, 60, 80, 21, 8, normalization::zeroi2v},
                           entry{augmentation::k400, 300, 258, 16, 6, normalization::clip}})
        for (std::uint64_t stream = 0; stream < e.streams; ++stream) {
            CAPTURE(e.side);
            CAPTURE(stream);
            plain_clip const plain{e.kind, e.side, {e.height, e.width}, 5, stream};
            clip_augmenter augment{e.kind, e.side, e.normalize, {5, stream}};
            CHECK(augment.flips() == plain.flipped);
            image const first = video_test::noise(e.height, e.width, 1), second = gradient(e.height, e.width);
            CHECK(augmented(augment, view_pixels(first), e.side) == plain(first, e.normalize));
            std::size_t const row = e.width * 3 + 7;
            std::vector<std::uint8_t> padded(e.height * row, 255);
            for (std::size_t y = 0; y < e.height; ++y) std::copy_n(&second(y, std::size_t{0}, std::size_t{0}), e.width * 3, &padded[y * row]);
            CHECK(augmented(augment, view_pixels(padded.data(), {e.height, e.width}, row), e.side) == plain(second, e.normalize));
            flipped += plain.flipped ? 1U : 0U;
            erased += plain.erases && plain.erased.width != 0 ? 1U : 0U;
            whole += plain.erases && plain.erased.width == 0 ? 1U : 0U;
        }
    CHECK(flipped > 90); // of 274
    CHECK(flipped < 184);
    CHECK(erased > 20);
    CHECK(whole > 5); // a picture of 1 pixel has no rectangle
}

TEST_CASE("clip_augmenter: flips below one half and erases below one quarter, and at neither value itself") {
    // Of each seed the value that decides is exactly the bound.
    CHECK(counter_rng{515707}.uniform(0) == 0.5F);
    CHECK_FALSE(clip_augmenter{augmentation::k400, 8, normalization::clip, {515707, 0}}.flips());
    CHECK(counter_rng{2526932}.uniform(17) == 0.25F);
    plain_clip const plain{augmentation::ssv2, 12, {20, 20}, 2526932, 0};
    REQUIRE_FALSE(plain.erases);
    clip_augmenter augment{augmentation::ssv2, 12, normalization::clip, {2526932, 0}};
    auto const frame = gradient(20, 20);
    CHECK(augmented(augment, view_pixels(frame), 12) == plain(frame, normalization::clip));
}

TEST_CASE("clip_augmenter refuses no recipe and no picture, and takes frames of another size") {
    using video_test::code_of;
    CHECK(code_of([] { clip_augmenter{augmentation::none, 8, normalization::clip, {1, 1}}; }) == "precondition");
    CHECK(code_of([] { clip_augmenter{augmentation::k400, 0, normalization::clip, {1, 1}}; }) == "precondition");
    clip_augmenter augment{augmentation::k400, 16, normalization::zeroi2v, {5, 1}};
    static_cast<void>(augmented(augment, view_pixels(gradient(120, 90)), 16));
    CHECK(code_of([&] { static_cast<void>(augmented(augment, view_pixels(gradient(91, 122)), 16)); }) == "none"); // of another size
}

TEST_CASE("flipped_label exchanges the classes that differ by left and right, of ssv2 alone") {
    std::map<std::int64_t, std::int64_t> const exchanged{{86, 87}, {87, 86}, {93, 94}, {94, 93}, {166, 167}, {167, 166}};
    for (std::int64_t label = -1; label < 180; ++label) {
        auto const other = exchanged.find(label);
        CHECK(flipped_label(augmentation::ssv2, label) == (other == exchanged.end() ? label : other->second));
        CHECK(flipped_label(augmentation::k400, label) == label);
        CHECK(flipped_label(augmentation::none, label) == label);
    }
}

TEST_CASE("read_augmented_clip: the frames that the sampler draws, each augmented by the clip's one draw, whatever the file states") {
    video_test::temporary_folder const folder;
    std::size_t flips = 0, repeated = 0;
    for (int const frames : {20, 5}) {
        video_test::encode(folder / "a.avi", {.encoder = "mpeg4", .frames = frames, .b_frames = 0, .settings = {{"b", "2000000"}}});
        std::vector<std::size_t> all;
        for (std::size_t i = 0; i < static_cast<std::size_t>(frames); ++i) all.push_back(i);
        auto const decoded = decode_frames(folder / "a.avi", all);
        REQUIRE(decoded.frames.size() == all.size());
        auto content = video_test::read_file(folder / "a.avi");
        std::string const mark = "strh";
        auto const header = std::search(content.begin(), content.end(), mark.begin(), mark.end());
        REQUIRE(header != content.end());
        for (int const stated : {0, 3, frames, 200}) { // the number of frames in the file's header
            header[8 + 32] = static_cast<std::uint8_t>(stated);
            video_test::write_file(folder / "b.avi", content);
            for (input_config const& config : {input_config{.sampling = sampling_method::uniform}, input_config{.sampling = sampling_method::dense, .interval = 2}})
                for (std::uint64_t stream = 0; stream < 4; ++stream) {
                    std::vector<float> out(6 * 3 * 16 * 16, -1.0F);
                    bool const flipped = read_augmented_clip(folder / "b.avi", config, augmentation::ssv2, 6, 16, 9, stream, out);
                    auto const indices = frame_sampler{config.sampling, 6, config.interval, 1}.draw(all.size(), counter_rng{9, ~stream});
                    plain_clip const plain{augmentation::ssv2, 16, {48, 64}, 9, stream};
                    CHECK(flipped == plain.flipped);
                    for (std::size_t t = 0; t < 6; ++t) {
                        auto const wanted = plain(decoded.frames[static_cast<std::size_t>(indices(0, t))], config.normalize);
                        CHECK(std::equal(wanted.begin(), wanted.end(), out.begin() + static_cast<std::ptrdiff_t>(t * 3 * 16 * 16)));
                    }
                    flips += flipped ? 1U : 0U;
                    repeated += std::set<std::int64_t>(indices.begin(), indices.end()).size() < 6 ? 1U : 0U;
                }
        }
    }
    CHECK(flips > 0);
    CHECK(flips < 64);
    CHECK(repeated >= 16); // frames that a clip shows twice
    std::vector<float> out(2 * 3 * 8 * 8), wrong(out.size() + 1);
    auto const reading = [&](std::filesystem::path const& path, std::span<float> to, bool lenient) {
        return video_test::code_of([&] { static_cast<void>(read_augmented_clip(path, {}, augmentation::k400, 2, 8, 1, 1, to, {.lenient = lenient})); });
    };
    CHECK(reading(folder / "a.avi", wrong, false) == "precondition");
    CHECK(reading(folder / "missing.avi", out, false) == "open_failed");
    video_test::claim(folder / "nothing.mkv", AV_CODEC_ID_MPEG4, 64, 48, {1, 2, 3}, 3);
    CHECK(reading(folder / "nothing.mkv", out, false) == "decode_failed");
    CHECK(reading(folder / "nothing.mkv", out, true) == "no_frames");
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
    image const narrow = quarters(240, 320), wide = quarters(480, 640);
    std::size_t all_near = 0, all = 0;
    for (auto const kind : {augmentation::k400, augmentation::ssv2})
        for (std::uint64_t seed = 0; seed < 12; ++seed) {
            std::size_t const side = 32;
            std::vector<float> small(3 * side * side), large(small), again(small);
            clip_augmenter augment{kind, side, normalization::zeroi2v, {seed, 1}};
            auto const out = [&](std::vector<float>& to) { return view<float, 3>{to.data(), std::size_t{3}, side, side}; };
            augment(view_pixels(narrow), out(small));
            augment(view_pixels(wide), out(large));
            augment(view_pixels(narrow), out(again));
            CHECK(small == again);
            std::size_t near = 0;
            for (std::size_t i = 0; i < small.size(); ++i) near += std::abs(small[i] - large[i]) < 0.1F ? 1U : 0U;
            CHECK(near * 10 >= small.size() * 6); // all but the borders of the quarters
            all_near += near;
            all += small.size();
        }
    CHECK(all_near * 10 >= all * 8);
}
