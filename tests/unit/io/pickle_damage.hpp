// Real pickles and PyTorch files damaged byte by byte: a part of it under a sanitizer, all of it without.
#pragma once

#include "archives.hpp"
#include "faults.hpp"
#include "memory_file.hpp"

#include <zeroi2v/io/files/crc32.hpp>
#include <zeroi2v/io/torch/pickle.hpp>
#include <zeroi2v/io/torch/torch_file.hpp>
#include <zeroi2v/io/torch/zip.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace test {

/// How much of the damages: a part takes few changes of each byte, in turn, and a tenth of the random ones.
enum class share { part, whole };

[[nodiscard]] inline zeroi2v::pickle_graph read_pickle_text(std::string_view text) {
    auto const bytes = bytes_of(text);
    return zeroi2v::read_pickle({bytes.begin(), bytes.end()}, "file: data.pkl");
}

[[nodiscard]] inline std::string repeat(std::string_view text, std::size_t times) {
    std::string result;
    for (std::size_t i = 0; i < times; ++i) result += text;
    return result;
}

/// The parts of a PyTorch file among the tests' data.
[[nodiscard]] inline std::vector<zip_part> parts_of_data(std::string_view name) {
    zeroi2v::zip_archive const archive{zeroi2v::file{std::string{ZEROI2V_TEST_DATA} + "/" + std::string{name}}};
    std::vector<zip_part> parts;
    for (auto const& entry : archive.entries()) {
        if (!entry.stored()) continue;
        auto const bytes = archive.read(entry);
        parts.push_back({std::string{entry.name}, {reinterpret_cast<char const*>(bytes.data()), bytes.size()}});
        parts.back().crc = zeroi2v::crc32::of(bytes);
    }
    return parts;
}
[[nodiscard]] inline zip_part& pickle_of(std::vector<zip_part>& parts) {
    auto const found = std::ranges::find_if(parts, [](zip_part const& part) { return part.name.ends_with("/data.pkl"); });
    REQUIRE(found != parts.end());
    return *found;
}

/// One to `most` bytes changed, left out, or copied to another place.
[[nodiscard]] inline std::string randomly_damaged(std::string damaged, std::mt19937& random, std::size_t most) {
    for (auto n = 1 + random() % most; n > 0 && !damaged.empty(); --n) {
        std::size_t const at = random() % damaged.size();
        if (random() % 2 == 0) damaged[at] = static_cast<char>(random() & 255U);
        else if (random() % 2 == 0) damaged.erase(at, 1 + random() % 9);
        else damaged.insert(at, damaged.substr(random() % damaged.size(), random() % 40));
    }
    return damaged;
}

/// Every truncation of real pickles is refused.
inline void truncate_pickles(share of) {
    for (std::string_view const name : {"formats/mmengine.pth", "torch/state_2.pth", "torch/state_4.pth", "torch/script.pt"}) {
        auto parts = parts_of_data(name);
        std::string const sound = pickle_of(parts).content;
        REQUIRE(sound.size() > 500);
        CHECK_NOTHROW(static_cast<void>(read_pickle_text(sound)));
        for (std::size_t size = 0; size < sound.size(); size += of == share::part && size > 300 ? 13 : 1) {
            auto const f = fault_of([&] { static_cast<void>(read_pickle_text(std::string_view{sound}.substr(0, size))); });
            if (!f.thrown || f.code != zeroi2v::error_code::bad_pickle) FAIL("truncation to " << size << " bytes of " << name);
        }
    }
}

/// Every single-byte change and random damages of real pickles: a graph or bad_pickle.
inline void damage_pickles(share of) {
    std::mt19937 random{18};
    for (std::string_view const name : {"torch/state_2.pth", "torch/state_5.pth", "torch/script.pt"}) {
        auto parts = parts_of_data(name);
        std::string const sound = pickle_of(parts).content;
        std::size_t read_well = 0, refused = 0;
        auto const probe = [&](std::string_view text) {
            try {
                static_cast<void>(read_pickle_text(text));
                ++read_well;
            } catch (zeroi2v::checkpoint_error const& e) {
                REQUIRE(e.code() == zeroi2v::error_code::bad_pickle);
                ++refused;
            }
        };
        std::size_t turn = 0;
        for (std::size_t at = 0; at < sound.size(); ++at)
            for (auto const change : {0x01U, 0x80U, 0xFFU, 0x20U}) {
                if (of == share::part && turn++ % 9 != 0) continue; // 9: each change in turn, of every second byte or third
                auto damaged = sound;
                damaged[at] = static_cast<char>(static_cast<unsigned char>(damaged[at]) ^ change);
                probe(damaged);
            }
        for (int i = 0; i < (of == share::part ? 200 : 2000); ++i) probe(randomly_damaged(sound, random, 8));
        CHECK(read_well > 0);
        CHECK(refused > 0);
    }
}

/// Every single-byte change of a data.pkl, with a true checksum, and random damages of its archive: tensors or one typed error.
inline void damage_torch_file(share of) {
    auto parts = parts_of_data("torch/state_2.pth");
    zip_part& data = pickle_of(parts);
    std::string const pickle = data.content;
    std::map<zeroi2v::error_code, std::size_t> outcomes;
    std::size_t read_well = 0;
    auto const probe = [&](std::string_view bytes) {
        try {
            zeroi2v::torch_file const f{zeroi2v::file{memory_file{bytes}.path()}};
            for (auto const& info : f.tensors()) static_cast<void>(f.read(info.name));
            ++read_well;
        } catch (zeroi2v::checkpoint_error const& e) {
            ++outcomes[e.code()];
        }
    };
    std::size_t turn = 0;
    for (std::size_t at = 0; at < pickle.size(); ++at)
        for (auto const change : {0x01U, 0x80U}) {
            if (of == share::part && turn++ % 5 != 0) continue;
            data.content = pickle;
            data.content[at] = static_cast<char>(static_cast<unsigned char>(pickle[at]) ^ change);
            data.crc = zeroi2v::crc32::of(bytes_of(data.content));
            probe(build_zip(parts).bytes);
        }
    data.content = pickle;
    data.crc = zeroi2v::crc32::of(bytes_of(pickle));
    auto const sound = build_zip(parts).bytes;
    std::mt19937 random{20};
    for (int i = 0; i < (of == share::part ? 200 : 2000); ++i) probe(randomly_damaged(sound, random, 6));
    CHECK(read_well > 0);
    for (auto const code : {zeroi2v::error_code::bad_pickle, zeroi2v::error_code::bad_tensor, zeroi2v::error_code::bad_zip}) CHECK(outcomes[code] > 0);
}

} // namespace test
