// What damages by the thousand, and by the million bytes, do to pickles and PyTorch's archives; what reading them takes. Without a
// sanitizer: that would take minutes, and measures no memory.
#include "../io/archives.hpp"
#include "../io/faults.hpp"
#include "../io/memory_file.hpp"
#include "../io/peak_memory.hpp"
#include "../io/pickle_damage.hpp"
#include "../io/temporary_folder.hpp"

#include <zeroi2v/io/torch/pickle.hpp>
#include <zeroi2v/io/torch/torch_file.hpp>
#include <zeroi2v/io/torch/zip.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace zeroi2v;
using test::build_zip, test::le, test::p_dict, test::p_file, test::p_global, test::p_storage, test::p_tensor, test::p_text, test::repeat, test::torch_parts;
using namespace std::string_literals;

// What is measured comes first: an allocator that has much to give back keeps some of it.

TEST_CASE("A14 A18 shared values are shared: a billion laughs cost a kilobyte") {
    std::string text = "(" + p_text("ha") + "tq\0"s;
    for (int level = 0; level < 30; ++level) text += "0(h\0h\0h\0h\0h\0h\0h\0h\0h\0h\0tq\0"s;
    auto const growth = test::peak_growth([&] { CHECK(test::read_pickle_text(text + ".").root().kind() == pickle_kind::tuple); });
    if (growth) CHECK(*growth < 2'000'000);
}

TEST_CASE("A14 A18 memory: a pickle takes at most four times its bytes and 16 MB, or is refused") {
    // The bound of the graph is tighter, because an allocator loses some of what it gives back.
    std::size_t const length = test::sanitized ? 1'000'000 : 8'000'000;
    for (std::string_view const text : {"N", "]", "}", ")", "(", "]\x94", "Nr\x3f\x42\x0f\x00", "K\x01",
                                        "]K\x01"
                                        "a",
                                        "}NNs", "))\x85", "2"}) {
        CAPTURE(text);
        std::string bytes = "N";
        while (bytes.size() < length) bytes += text;
        bytes += ".";
        std::vector<std::byte> copy(bytes.size());
        std::memcpy(copy.data(), bytes.data(), bytes.size());
        test::fault f;
        std::optional<std::size_t> growth;
        double const seconds = test::processor_seconds([&] {
            growth = test::peak_growth([&] {
                f = test::fault_of([&] { static_cast<void>(read_pickle(std::move(copy), "file: data.pkl")); });
            });
        });
        CHECK(seconds < test::limit_seconds(1));
        if (f.thrown) CHECK(f.code == error_code::bad_pickle);
        if (growth) CHECK(*growth <= 3 * bytes.size() + 16'000'000); // the bytes themselves were there before
    }
    auto const f =
        test::fault_of([] { static_cast<void>(read_pickle(std::vector<std::byte>(100'000'001), "file: data.pkl")); });
    CHECK_FAULT(f, error_code::bad_pickle, 3);
}

TEST_CASE("A18 every truncation, every single-byte change and 2000 random damages of real pickles: a graph or bad_pickle") {
    test::truncate_pickles(test::share::whole);
    test::damage_pickles(test::share::whole);
}

TEST_CASE("every single-byte change of data.pkl and 2000 random damages: tensors or one typed error") {
    CHECK(test::processor_seconds([] { test::damage_torch_file(test::share::whole); }) < test::limit_seconds(30));
}

TEST_CASE("A18 depth: a million levels are refused at once") {
    struct brackets {
        std::string open, close;
    };
    for (auto const& [open, close] : std::vector<brackets>{{"", "\x85"}, {"(", "t"}, {"]", "a"}, {"(", "l"}, {p_global("m", "C"), "\x85R"}, {"}" + p_text("k"), "s"}, {"", "Q"}}) {
        CAPTURE(close);
        auto const deepest = repeat(open, 1'000'000) + "N" + repeat(close, 1'000'000) + ".";
        test::fault f;
        CHECK(test::processor_seconds([&] { f = test::fault_of([&] { static_cast<void>(test::read_pickle_text(deepest)); }); }) < test::limit_seconds(1));
        CHECK_FAULT(f, error_code::bad_pickle, 3);
    }
}

TEST_CASE("A18 memo: a million values without a key of their own are one too many") {
    std::string const one = "K\x07\x94" "0";
    auto const f = test::fault_of([&] { static_cast<void>(test::read_pickle_text(repeat(one, 1'000'001) + ".")); });
    CHECK_FAULT(f, error_code::bad_pickle, 3);
    CHECK(f.says("file: data.pkl: byte 4000002: "));
    CHECK(f.says("memo key 1000000"));
    CHECK_NOTHROW(static_cast<void>(test::read_pickle_text(repeat(one, 1'000'000) + "N.")));
}

TEST_CASE("A18 dicts in dicts: one dict reached by 10^30 paths") {
    for (bool const with_tensor : {true, false}) {
        std::string laughs = "}" + p_text("w") + (with_tensor ? p_tensor(p_storage("0", 6), 0, {2, 3}, {3, 1}) : "N"s) + "sq\0"s;
        for (int level = 0; level < 30; ++level) {
            laughs += "0}("s;
            for (int i = 0; i < 10; ++i) laughs += p_text(std::to_string(i)) + "h\0"s;
            laughs += "uq\0"s;
        }
        test::memory_file const archive{build_zip(torch_parts(p_file(laughs), {{0, 1, 2, 3, 4, 5}}), true).bytes};
        test::fault fault;
        CHECK(test::processor_seconds([&] { fault = test::fault_of([&] { torch_file{file{archive.path()}}; }); }) < test::limit_seconds(2));
        CHECK_FAULT(fault, with_tensor ? error_code::too_many_tensors : error_code::bad_pickle, 3);
    }
}

TEST_CASE("memory: a load takes at most 1.1 times the file and 16 MB, strided or not") {
    constexpr std::size_t rows = 2048, columns = 4096; // 32 MB
    std::vector<float> values(rows * columns);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 8191);
    std::int64_t const count = rows * columns;
    test::temporary_folder const folder;
    {
        auto const storage = p_storage("0", count);
        auto const pickle = p_file(p_dict({{"plain", p_tensor(storage, 0, {rows, columns}, {columns, 1})},
                                           {"transposed", p_tensor(storage, 0, {columns, rows}, {1, columns})},
                                           {"half", p_tensor(storage, 0, {rows, columns / 2}, {columns, 2})}}));
        test::write_file(folder / "large.pth", build_zip(torch_parts(pickle, {values}), true).bytes);
    }
    auto const size = static_cast<std::size_t>(std::filesystem::file_size(folder / "large.pth"));
    for (std::string_view const name : {"plain", "transposed", "half"}) {
        CAPTURE(name);
        stored_tensor tensor;
        auto const growth = test::peak_growth([&] { tensor = torch_file{file{folder / "large.pth"}}.read(name); });
        if (growth) CHECK(*growth <= size + size / 10 + 16'000'000);
        auto const read = tensor.as<float>();
        std::size_t wrong = 0;
        for (std::size_t r = 0; r < rows; ++r)
            for (std::size_t c = 0; c < columns; ++c) {
                if (name == "plain") wrong += read[r * columns + c] != values[r * columns + c];
                if (name == "transposed") wrong += read[c * rows + r] != values[r * columns + c];
                if (name == "half" && c % 2 == 0) wrong += read[r * (columns / 2) + c / 2] != values[r * columns + c];
            }
        CHECK(wrong == 0);
    }
}

TEST_CASE("A17 a million entries are refused at once") {
    auto const there = [] {
        std::string bytes, directory;
        std::size_t const count = 1'000'000;
        for (std::size_t i = 0; i < count; ++i)
            directory += "PK\x01\x02" + std::string(24, '\0') + le(std::uint16_t{4}) + std::string(16, '\0')
                         + le(static_cast<std::uint32_t>(i));
        bytes = directory;
        auto const end64 = bytes.size();
        bytes += "PK\x06\x06" + le<std::uint64_t>(44) + std::string(12, '\0') + le<std::uint64_t>(count)
                 + le<std::uint64_t>(count) + le<std::uint64_t>(directory.size()) + le<std::uint64_t>(0) + "PK\x06\x07"
                 + le<std::uint32_t>(0) + le<std::uint64_t>(end64) + le<std::uint32_t>(1) + "PK\x05\x06"
                 + le<std::uint32_t>(0) + std::string(12, '\xFF') + le<std::uint16_t>(0);
        return bytes;
    }();
    test::memory_file const many{there};
    test::fault f;
    std::optional<std::size_t> growth;
    double const seconds = test::processor_seconds(
        [&] { growth = test::peak_growth([&] { f = test::fault_of([&] { zip_archive{file{many.path()}}; }); }); });
    CHECK(seconds < test::limit_seconds(0.5));
    CHECK_FAULT(f, error_code::bad_zip, 3);
    CHECK(f.says("1000000 entries, at most 100000"));
    if (growth) CHECK(*growth < 16'000'000);
}

TEST_CASE("A17 a directory of more than 100 million bytes is refused before it is read") {
    test::temporary_folder const folder;
    std::uint64_t const size = 100'000'001;
    { // a hole, and the end record
        auto const end = build_zip({}).bytes.substr(0, 4) + le<std::uint32_t>(0) + le<std::uint16_t>(2) + le<std::uint16_t>(2) + le(static_cast<std::uint32_t>(size)) + le<std::uint32_t>(0)
                         + le<std::uint16_t>(0);
        test::write_file(folder / "f", "");
        std::filesystem::resize_file(folder / "f", size);
        std::ofstream{folder / "f", std::ios::binary | std::ios::app} << end;
    }
    test::fault f;
    auto const growth = test::peak_growth([&] { f = test::fault_of([&] { zip_archive{file{folder / "f"}}; }); });
    CHECK_FAULT(f, error_code::bad_zip, 3);
    CHECK(f.says("a directory of 100000001 bytes for 2 entries"));
    if (growth) CHECK(*growth < 16'000'000);
}
