// Files of labelled clips: what is read, and what is refused with its place.
#include <zeroi2v/io/safetensors/safetensors_writer.hpp>
#include <zeroi2v/io/train/train_clips.hpp>

#include "../temporary_folder.hpp"

#include <doctest/doctest.h>

#include <numeric>

using namespace zeroi2v;

namespace {

vit_config config() { return {{.image_size = 4, .patch_size = 2, .frames = 2, .width = 4, .layers = 1, .heads = 2, .mlp_width = 4, .classes = 5}, frame_map<>{2}}; }

struct made {
    std::vector<float> clips = std::vector<float>(3 * 96);
    std::vector<std::int64_t> labels{0, 4, 2}, groups{2, 3};
    made() { std::iota(clips.begin(), clips.end(), 0.0F); }
    [[nodiscard]] view<float const, 5> all() const { return view<float const, 5>{clips.data(), 3, 2, 3, 4, 4}; }
};

void check_refused(std::filesystem::path const& path, error_code code, std::string const& words) {
    try {
        labelled_clips const file{path, config()};
        FAIL("accepted");
    } catch (error const& fault) {
        CHECK(to_string(fault.code()) == to_string(code));
        CHECK_MESSAGE(std::string{fault.what()}.find(words) != std::string::npos, fault.what());
    }
}

} // namespace

TEST_CASE("clips are read one by one, in f32 and widened; labels of one set and of several") {
    test::temporary_folder const here;
    auto const path = here.path() / "c.safetensors";
    made const m;
    write_safetensors(path, {{"clips", m.all()}, {"labels", view<std::int64_t const, 1>{m.labels.data(), 3}}, {"anything", view<std::int64_t const, 1>{m.labels.data(), 2}}});
    labelled_clips const one{path, config()};
    CHECK(one.size() == 3);
    CHECK(one.groups() == std::vector<std::size_t>{5});
    CHECK(one.labels(1)[0] == 4);
    std::vector<float> clip(96);
    one.read(2, clip);
    CHECK(std::equal(clip.begin(), clip.end(), m.clips.begin() + 2 * 96));
    CHECK_THROWS_AS(one.read(3, clip), precondition_error);
    auto const sum = one.checksum();

    std::vector<bf16> const narrow(m.clips.begin(), m.clips.end());
    std::vector<std::int64_t> const pairs{0, 2, 1, 0, 1, 1};
    write_safetensors(path, {{"clips", view<bf16 const, 5>{narrow.data(), 3, 2, 3, 4, 4}}, {"labels", view<std::int64_t const, 2>{pairs.data(), 3, 2}},
                             {"label_groups", view<std::int64_t const, 1>{m.groups.data(), 2}}});
    labelled_clips const two{path, config()};
    CHECK(two.groups() == std::vector<std::size_t>{2, 3});
    CHECK(two.labels(1)[0] == 1);
    CHECK(two.labels(1)[1] == 0);
    two.read(1, clip);
    CHECK(clip[5] == static_cast<float>(bf16{m.clips[96 + 5]}));
    CHECK(two.checksum() != sum);
}

TEST_CASE("what does not fit is refused with its place") {
    test::temporary_folder const here;
    auto const path = here.path() / "c.safetensors";
    made const m;
    auto const labels = [&](std::vector<std::int64_t> const& values) { return view<std::int64_t const, 1>{values.data(), values.size()}; };
    write_safetensors(path, {{"labels", labels(m.labels)}});
    check_refused(path, error_code::bad_tensor, "\"clips\": not there");
    write_safetensors(path, {{"clips", m.all()}});
    check_refused(path, error_code::bad_tensor, "\"labels\": not there");
    write_safetensors(path, {{"clips", view<float const, 5>{m.clips.data(), 3, 2, 3, 2, 8}}, {"labels", labels(m.labels)}});
    check_refused(path, error_code::bad_shape, "(M,2,3,4,4)");
    write_safetensors(path, {{"clips", view<float const, 5>{m.clips.data(), 0, 2, 3, 4, 4}}, {"labels", labels({})}});
    check_refused(path, error_code::bad_shape, "M of 1 or more");
    write_safetensors(path, {{"clips", view<std::int64_t const, 5>{m.labels.data(), 0, 2, 3, 4, 4}}, {"labels", labels(m.labels)}});
    check_refused(path, error_code::unsupported_dtype, "I64");
    std::vector<std::int64_t> const two{0, 1}, low{0, -1, 0}, high{0, 0, 5};
    write_safetensors(path, {{"clips", m.all()}, {"labels", labels(two)}});
    check_refused(path, error_code::bad_shape, "(2) found");
    write_safetensors(path, {{"clips", m.all()}, {"labels", labels(low)}});
    check_refused(path, error_code::bad_labels, "clip 1: class -1");
    write_safetensors(path, {{"clips", m.all()}, {"labels", labels(high)}});
    check_refused(path, error_code::bad_labels, "clip 2: class 5 found, 0 to 4");
    write_safetensors(path, {{"clips", m.all()}, {"labels", view<float const, 1>{m.clips.data(), 3}}});
    check_refused(path, error_code::unsupported_dtype, "I64 or I32");
    std::vector<std::int64_t> const pairs(6, 0), bad{2, 4}, zero{0, 5}, huge{std::int64_t{1} << 62, 3};
    auto const sets = view<std::int64_t const, 2>{pairs.data(), 3, 2};
    write_safetensors(path, {{"clips", m.all()}, {"labels", sets}});
    check_refused(path, error_code::bad_shape, "label_groups");
    for (auto const* const groups : {&bad, &zero, &huge}) {
        write_safetensors(path, {{"clips", m.all()}, {"labels", sets}, {"label_groups", labels(*groups)}});
        check_refused(path, error_code::bad_labels, "label_groups");
    }
}
