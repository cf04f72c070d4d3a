// The generator: the same seed gives the same bytes, a file and its reverse decode to the same frames, and no frame alone tells the motion.
#include "dataset.hpp"
#include "encode.hpp"
#include "render.hpp"
#include "scene.hpp"

#include <zeroi2v/io/safetensors/safetensors.hpp>
#include <zeroi2v/video/ffmpeg.hpp>
#include <zeroi2v/video/preprocess.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include <unistd.h>

using namespace moving_shapes;

namespace {

namespace fs = std::filesystem;

/// A folder that disappears with the object.
class scratch {
public:
    scratch() {
        std::string path = (fs::temp_directory_path() / "moving_shapes_test_XXXXXX").native();
        REQUIRE(::mkdtemp(path.data()) != nullptr);
        path_ = path;
    }
    scratch(scratch const&) = delete;
    scratch& operator=(scratch const&) = delete;
    ~scratch() { fs::remove_all(path_); }
    [[nodiscard]] fs::path operator/(char const* name) const { return path_ / name; }

private:
    fs::path path_;
};

std::string content_of(fs::path const& path) {
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}

std::vector<std::uint8_t> bytes_of(std::vector<zeroi2v::image> const& pictures) {
    std::vector<std::uint8_t> all;
    for (auto const& each : pictures) all.insert(all.end(), each.data(), each.data() + each.size());
    return all;
}

/// Every decoded frame, upright RGB.
std::vector<std::vector<std::uint8_t>> frames_of(fs::path const& path) {
    std::vector<std::size_t> wanted(clip_frames);
    std::iota(wanted.begin(), wanted.end(), std::size_t{0});
    std::vector<std::vector<std::uint8_t>> frames;
    auto const decoded = zeroi2v::decode_frames(path, wanted);
    REQUIRE(decoded.report.decoded == clip_frames);
    for (auto const& each : decoded.frames) frames.emplace_back(each.data(), each.data() + each.size());
    return frames;
}

} // namespace

TEST_CASE("the same seed and number give the same pictures, others give others") {
    auto const pictures = [](std::uint64_t seed, std::uint64_t index, std::size_t label) { return bytes_of(render(draw_scene(seed, index, label, clip_frames))); };
    for (std::size_t label = 0; label < classes; ++label) {
        CAPTURE(label);
        auto const first = pictures(3, 5, label);
        CHECK(first.size() == clip_frames * picture_side * picture_side * 3);
        CHECK(first == pictures(3, 5, label));
        CHECK(first != pictures(4, 5, label));
        CHECK(first != pictures(3, 6, label));
        CHECK(first != pictures(3, 5, reversed(label)));
    }
    CHECK(bytes_of(render(draw_still(3, 5))) == bytes_of(render(draw_still(3, 5))));
    CHECK(bytes_of(render(draw_still(3, 5))) != bytes_of(render(draw_still(3, 6))));
}

TEST_CASE("a file and the file of its pictures in reverse decode to the same frames") {
    scratch const folder;
    for (std::size_t label = 0; label < classes; ++label) {
        CAPTURE(label);
        auto pictures = render(draw_scene(1, label, label, clip_frames));
        encode(folder / "forward.mp4", pictures);
        std::reverse(pictures.begin(), pictures.end());
        encode(folder / "backward.mp4", pictures);
        auto const forward = frames_of(folder / "forward.mp4");
        auto backward = frames_of(folder / "backward.mp4");
        CHECK(forward != backward);
        std::reverse(backward.begin(), backward.end());
        CHECK(forward == backward);
    }
}

TEST_CASE("what a model gets is every frame of the file, and a frame is coded alike wherever it stands") {
    auto const pictures = render(draw_scene(1, 0, 0, clip_frames));
    auto const all = through_a_file(pictures);
    REQUIRE(all.extent(0) == clip_frames);
    std::size_t const values = all.size() / clip_frames;
    for (std::size_t frame = 0; frame < clip_frames; ++frame) {
        auto const alone = through_a_file({&pictures[frame], 1});
        CHECK(std::equal(alone.data(), alone.data() + values, all.data() + frame * values));
    }
}

TEST_CASE("the pairs are each other's reverse, and names differ") {
    std::set<std::string> names;
    for (std::size_t label = 0; label < classes; ++label) {
        CHECK(reversed(reversed(label)) == label);
        CHECK(reversed(label) != label);
        CHECK(reversed(label) / motions == label / motions);
        names.insert(class_name(label));
    }
    CHECK(names.size() == classes);
}

TEST_CASE("a frame alone is distributed alike in both videos of a pair, at every time") {
    constexpr std::size_t scenes = 4000;
    for (std::size_t label = 0; label < motions; ++label) {
        CAPTURE(label);
        for (std::size_t frame = 0; frame < clip_frames; ++frame) {
            moment mean{0, 0, 0, 0};
            for (std::size_t i = 0; i < scenes; ++i) {
                auto const now = draw_scene(9, label * scenes + i, label, clip_frames).moments[frame];
                mean.x += now.x / scenes;
                mean.y += now.y / scenes;
                mean.radius += now.radius / scenes;
                mean.hue += now.hue / scenes;
            }
            bool const grows = label / 2 == 2;
            CHECK(std::abs(mean.x - 0.5) < 0.015); // four standard deviations of the mean
            CHECK(std::abs(mean.y - 0.5) < 0.015);
            CHECK(std::abs(mean.radius - (grows ? (least_radius + most_radius) / 2 : 0.18)) < 0.005);
            CHECK(std::abs(mean.hue - 0.5) < 0.02);
        }
    }
}

TEST_CASE("stills have every label, and the labels say what is there") {
    std::array<std::set<std::int64_t>, 4> seen;
    for (std::uint64_t i = 0; i < 2000; ++i) {
        auto const labels = still_labels(draw_still(1, i));
        for (std::size_t group = 0; group < labels.size(); ++group) seen[group].insert(labels[group]);
    }
    for (std::size_t group = 0; group < seen.size(); ++group) {
        CHECK(seen[group].size() == still_groups[group]);
        CHECK(*seen[group].begin() == 0);
        CHECK(*seen[group].rbegin() == static_cast<std::int64_t>(still_groups[group]) - 1);
    }
    scene still;
    still.shape = outline::post;
    still.moments.push_back({.x = 0.19, .y = 0.81, .radius = 0.09, .hue = 0.99});
    CHECK(still_labels(still) == std::array<std::int64_t, 4>{20, 0, 7, 2});
}

TEST_CASE("the files: clips are labelled in pairs, a list names its videos, and the same seed gives the same bytes") {
    scratch const folder;
    write_clips(folder / "clips.safetensors", 2, 2 * classes);
    auto const clips = zeroi2v::read_safetensors(folder / "clips.safetensors");
    CHECK(clips["clips"].sizes() == zeroi2v::shape{2 * classes, clip_frames, std::size_t{3}, clip_side, clip_side});
    std::vector<int> count(classes);
    for (std::int64_t const label : clips["labels"].as<std::int64_t>()) ++count[static_cast<std::size_t>(label)];
    CHECK(count == std::vector<int>(classes, 2));

    write_videos(folder / "videos", 2, 4);
    CHECK(content_of(folder / "videos/list.txt") == "0000.mp4 0\n0000_reversed.mp4 1\n0001.mp4 2\n0001_reversed.mp4 3\n");
    auto const first = content_of(folder / "videos/0000.mp4");
    write_videos(folder / "videos", 2, 2);
    CHECK(content_of(folder / "videos/0000.mp4") == first);
    auto const kept = zeroi2v::read_safetensors(folder / "videos/clips.safetensors");
    auto const video = zeroi2v::preprocess_video(folder / "videos/0000_reversed.mp4", input, clip_frames, clip_side);
    auto const values = kept["clip"].as<float>();
    CHECK(std::equal(values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end(), video.clip.data(), video.clip.data() + video.clip.size()));

    write_stills(folder / "stills.safetensors", 2, 600);
    auto const stills = zeroi2v::read_safetensors(folder / "stills.safetensors");
    CHECK(stills["clips"].sizes() == zeroi2v::shape{std::size_t{600}, std::size_t{1}, std::size_t{3}, clip_side, clip_side});
    CHECK(stills["labels"].sizes() == zeroi2v::shape{std::size_t{600}, std::size_t{4}});
}
