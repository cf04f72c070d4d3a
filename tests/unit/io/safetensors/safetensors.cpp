// Opening, reading and writing safetensors files; bytes as the reference writer makes them.
#include <zeroi2v/io/safetensors/safetensors.hpp>

#include "../faults.hpp"
#include "../peak_memory.hpp"
#include "../temporary_folder.hpp"

#include <zeroi2v/core/float16.hpp>
#include <zeroi2v/io/safetensors/safetensors_writer.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>
#include <zeroi2v/tensor/tensor.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using test::fault_of;
using zeroi2v::dtype;
using zeroi2v::error_code;
using zeroi2v::shape;
using zeroi2v::stored_tensor;

std::filesystem::path const test_data = ZEROI2V_TEST_DATA;

[[nodiscard]] std::string_view text(stored_tensor const& t) {
    return {reinterpret_cast<char const*>(t.bytes().data()), t.byte_size()};
}

} // namespace

TEST_CASE("files of the reference writer come back byte for byte") {
    test::temporary_folder const folder;
    std::size_t files = 0;
    for (auto const& entry : std::filesystem::recursive_directory_iterator{test_data}) {
        bool const reference_order = entry.path().parent_path().filename() != "torch"; // those were written by hand
        if (entry.path().extension() != ".safetensors" || !reference_order) continue;
        auto const original = test::read_file(entry.path());
        CAPTURE(entry.path());
        auto const content = zeroi2v::read_safetensors(entry.path());
        CHECK(content.size() > 0);
        zeroi2v::write_safetensors(folder / "copy", content);
        CHECK(test::read_file(folder / "copy") == original);
        ++files;
    }
    CHECK(files >= 15);
}

TEST_CASE("reading one tensor, all tensors, into memory of the caller") {
    zeroi2v::safetensors_file const opened{test_data / "formats" / "expected_f32.safetensors"};
    auto const all = zeroi2v::read_safetensors(test_data / "formats" / "expected_f32.safetensors");
    REQUIRE(opened.tensors().size() == all.size());
    for (auto const& info : opened.tensors()) {
        auto const one = opened.read(info.name);
        CHECK(one.type() == info.type);
        CHECK(one.sizes() == info.sizes);
        CHECK(text(one) == text(all[info.name]));
        std::vector<std::byte> out(info.byte_size());
        opened.read_into(info.name, out);
        CHECK(std::ranges::equal(out, one.bytes()));
        CHECK(opened.find(info.name) == &info);
    }
    std::vector<std::byte> wrong(3);
    CHECK_FAULT(fault_of([&] { opened.read_into("cls_head.fc_cls.bias", wrong); }), error_code::precondition, 1);
    CHECK_FAULT(fault_of([&] { static_cast<void>(opened.read("cls_head")); }), error_code::missing_tensors, 4);
    CHECK_FAULT(fault_of([&] { static_cast<void>(all["cls_head"]); }), error_code::missing_tensors, 4);
    CHECK(opened.find("") == nullptr);
}

TEST_CASE("all dtypes, scalars, empty tensors, odd names and metadata survive a round trip") {
    test::temporary_folder const folder;
    zeroi2v::named_tensors content;
    for (int i = 0; i <= static_cast<int>(dtype::u64); ++i) {
        auto const type = static_cast<dtype>(i);
        auto tensor = stored_tensor::zeros(type, zeroi2v::is_packed(type) ? shape{3, 8} : shape{3, 5}); // whole bytes
        for (std::size_t j = 0; j < tensor.byte_size(); ++j)
            tensor.bytes()[j] = static_cast<std::byte>(7 * j + static_cast<std::size_t>(i));
        content.tensors.emplace("t" + std::to_string(i), std::move(tensor));
    }
    content.tensors.emplace("scalar", stored_tensor::zeros(dtype::f32, {}));
    content.tensors.emplace("empty", stored_tensor::zeros(dtype::f32, {4, 0, 3}));
    content.tensors.emplace("eight", stored_tensor::zeros(dtype::u8, {1, 2, 1, 2, 1, 2, 1, 2}));
    for (std::string const& name : {std::string{}, std::string{"a\"b\\c/d"}, std::string{"\0\x01\n\t\x7F", 5},
                                    std::string{"\xF0\x9F\x98\x80 \xC3\xA9"}, std::string(1024, 'n')}) {
        content.tensors.emplace(name, stored_tensor::zeros(dtype::u8, {1}));
        content.metadata.emplace(name, name);
    }
    zeroi2v::write_safetensors(folder / "f", content);
    auto const back = zeroi2v::read_safetensors(folder / "f");
    CHECK(back.metadata == content.metadata);
    REQUIRE(back.size() == content.size());
    for (auto const& [name, tensor] : content) {
        CHECK(back[name].type() == tensor.type());
        CHECK(back[name].sizes() == tensor.sizes());
        CHECK(text(back[name]) == text(tensor));
    }
    auto const bytes = test::read_file(folder / "f");
    CHECK(static_cast<unsigned char>(bytes[0]) % 8 == 0);
    CHECK(bytes[8] == '{');
    zeroi2v::safetensors_file const opened{folder / "f"};
    std::uint64_t last = 8;
    for (auto const& info : opened.tensors()) { // wide elements first: each is aligned
        CHECK(zeroi2v::size_of(info.type) <= last);
        last = zeroi2v::size_of(info.type);
    }
}

TEST_CASE("special values keep their bits") {
    test::temporary_folder const folder;
    std::array<std::uint32_t, 6> const bits{0x7FC00001U, 0xFFC12345U, 0x7F800000U,
                                            0x80000000U, 0x00000001U, 0x7F800001U};
    auto tensor = stored_tensor::zeros(dtype::f32, {6});
    std::memcpy(tensor.bytes().data(), bits.data(), sizeof bits);
    zeroi2v::write_safetensors(folder / "f", {{"w", tensor}});
    CHECK(text(zeroi2v::read_safetensors(folder / "f")["w"]) == text(tensor));
}

TEST_CASE("the user's own tensors and views") {
    test::temporary_folder const folder;
    zeroi2v::dynamic_tensor<float, 2> logits{2, 3};
    logits(1, 2) = 7.0F;
    std::array<std::int64_t, 4> indices{1, 2, 3, 4};
    zeroi2v::write_safetensors(folder / "f",
                               {{"logits", logits}, {"frame_indices", zeroi2v::tensor_view{indices.data(), 2, 2}}},
                               {.metadata = {{"made by", "a test"}}});
    auto const back = zeroi2v::read_safetensors(folder / "f");
    CHECK(back["logits"].sizes() == shape{2, 3});
    CHECK(back["logits"].as<float>()[5] == 7.0F);
    CHECK(back["frame_indices"].type() == dtype::i64);
    CHECK(back["frame_indices"].sizes() == shape{2, 2});
    CHECK(back["frame_indices"].as<std::int64_t>()[3] == 4);
    CHECK(back.metadata.at("made by") == "a test");
}

TEST_CASE("the same content gives the same bytes in whatever order it is declared") {
    test::temporary_folder const folder;
    auto const a = stored_tensor::zeros(dtype::f16, {2});
    auto const b = stored_tensor::zeros(dtype::f32, {1});
    auto const c = stored_tensor::zeros(dtype::f32, {2});
    zeroi2v::write_safetensors(folder / "1", {{"a", a}, {"c", c}, {"b", b}});
    zeroi2v::write_safetensors(folder / "2", {{"b", b}, {"a", a}, {"c", c}});
    CHECK(test::read_file(folder / "1") == test::read_file(folder / "2"));
    CHECK(
        test::read_file(folder / "1")
            .substr(8)
            .starts_with(
                R"({"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                R"("c":{"dtype":"F32","shape":[2],"data_offsets":[4,12]},)"
                R"("a":{"dtype":"F16","shape":[2],"data_offsets":[12,16]}})"));
}

TEST_CASE("what the format cannot hold is refused, and nothing is left behind") {
    test::temporary_folder const folder;
    auto const t = stored_tensor::zeros(dtype::f32, {1});
    auto const h = stored_tensor::zeros(dtype::f16, {1});
    auto const refused = [&](std::string const& name) {
        return fault_of([&] { zeroi2v::write_safetensors(folder / "f", {{name, t}}); });
    };
    CHECK_FAULT(refused("__metadata__"), error_code::duplicate_key, 3);
    CHECK_FAULT(refused(std::string(1025, 'n')), error_code::name_too_long, 3);
    CHECK_FAULT(refused("\xC3("), error_code::header_not_utf8, 3);
    CHECK_FAULT(fault_of([&] {
                    zeroi2v::write_safetensors(folder / "f", {{"w", t}, {"w", t}});
                }),
                error_code::duplicate_key, 3);
    CHECK_FAULT(fault_of([&] {
                    zeroi2v::write_safetensors(folder / "f", {{"w", t}, {"x", t}, {"w", h}});
                }),
                error_code::duplicate_key, 3);
    CHECK_FAULT(fault_of([&] {
                    zeroi2v::write_safetensors(folder / "f", {{"w", t}}, {.metadata = {{"a", "\xFF"}}});
                }),
                error_code::header_not_utf8, 3);
    CHECK_FAULT(fault_of([&] {
                    zeroi2v::write_safetensors(folder / "f", {{"w", t}}, {.metadata = {{"\xFF", "a"}}});
                }),
                error_code::header_not_utf8, 3);
    for (auto const type : {dtype::f4, dtype::f6_e2m3, dtype::f6_e3m2}) {
        auto const packed = fault_of([&] {
            zeroi2v::safetensors_writer const w{folder / "f", {{"w", type, {3}}}};
        });
        CHECK_FAULT(packed, error_code::bad_shape, 3);
        CHECK(packed.says("inside a byte"));
    }
    CHECK_FAULT(fault_of([&] {
                    std::vector<zeroi2v::tensor_info> many(65'537);
                    for (std::size_t i = 0; i < many.size(); ++i) many[i].name = std::to_string(i);
                    zeroi2v::safetensors_writer const w{folder / "f", std::move(many)};
                }),
                error_code::too_many_tensors, 3);
    CHECK_FAULT(fault_of([&] { // no disk has this room, and it is asked for before a byte is written
                    zeroi2v::safetensors_writer const w{folder / "f", {{"w", dtype::f64, {std::size_t{1} << 45U}}}};
                }),
                error_code::write_failed, 7);
    auto const huge = std::numeric_limits<std::size_t>::max() / 4;
    CHECK_FAULT(fault_of([&] {
                    zeroi2v::safetensors_writer const w{folder / "f", {{"w", dtype::f32, {huge, 3}}}};
                }),
                error_code::bad_shape, 3);
    CHECK_FAULT(fault_of([&] {
                    zeroi2v::safetensors_writer const w{folder / "f", {{"w", dtype::f32, {huge, 0}}}};
                }),
                error_code::bad_shape, 3);
    CHECK_FAULT(fault_of([&] {
                    zeroi2v::safetensors_writer const w{folder / "f", std::vector<zeroi2v::tensor_info>(65'537)};
                }),
                error_code::duplicate_key, 3);
    CHECK(folder.entries() == 0);
}

TEST_CASE("a header of more than 100 million bytes is not written") {
    test::temporary_folder const folder;
    auto const fault = fault_of([&] {
        zeroi2v::write_safetensors(folder / "f", std::span<zeroi2v::tensor_ref const>{}, {.metadata = {{"a", std::string(test::sanitized ? 1'000 : 100'000'000, 'x')}}});
    });
    if (!test::sanitized) CHECK_FAULT(fault, error_code::header_too_large, 3); // a minute there
    CHECK(folder.entries() == (test::sanitized ? 1 : 0));
}

TEST_CASE("a writer takes exactly what was declared") {
    test::temporary_folder const folder;
    {
        zeroi2v::safetensors_writer writer{folder / "f", {{"b", dtype::f32, {2}}, {"a", dtype::f32, {1}}}};
        auto const one = stored_tensor::zeros(dtype::f32, {1});
        auto const two = stored_tensor::zeros(dtype::f32, {2});
        REQUIRE(writer.tensors().size() == 2);
        CHECK(writer.tensors()[0].name == "a");
        CHECK_FAULT(fault_of([&] { writer.append("b", two); }), error_code::precondition, 1);
        CHECK_FAULT(fault_of([&] { writer.append("a", two.bytes()); }), error_code::precondition, 1);
        CHECK_FAULT(fault_of([&] { writer.append("b", one.bytes()); }), error_code::precondition, 1);
        CHECK_FAULT(fault_of([&] { writer.append("a", stored_tensor::zeros(dtype::f32, {1, 1})); }), error_code::precondition, 1);
        CHECK_FAULT(fault_of([&] { writer.append("a", stored_tensor::zeros(dtype::i32, {1})); }),
                    error_code::precondition, 1);
        writer.append("a", one);
        CHECK_FAULT(fault_of([&] { writer.commit(); }), error_code::precondition, 1);
        CHECK_FALSE(std::filesystem::exists(folder / "f"));
        writer.append("b", two);
        CHECK_FAULT(fault_of([&] { writer.append("b", two); }), error_code::precondition, 1);
        writer.commit();
        CHECK(zeroi2v::read_safetensors(folder / "f").size() == 2);
    }
    CHECK(folder.entries() == 1);
    { zeroi2v::safetensors_writer const forgotten{folder / "g", {}}; }
    CHECK(folder.entries() == 1);
}

TEST_CASE("a file is not written onto what is being read") {
    test::temporary_folder const folder;
    auto const t = stored_tensor::zeros(dtype::f32, {1});
    zeroi2v::write_safetensors(folder / "in", {{"w", t}});
    auto const before = test::read_file(folder / "in");
    auto const f = fault_of([&] {
        zeroi2v::write_safetensors(folder / "in", {{"x", t}}, {.metadata = {}, .inputs = {folder / "in"}});
    });
    CHECK_FAULT(f, error_code::same_file, 2);
    CHECK(test::read_file(folder / "in") == before);
    CHECK(folder.entries() == 1);
}
