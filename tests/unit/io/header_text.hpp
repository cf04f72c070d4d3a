// Safetensors files as text: a header's JSON put together, read, and damaged byte by byte.
#pragma once

#include "faults.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/safetensors/safetensors_header.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace test {

/// Header length, JSON and so many zero bytes of data.
[[nodiscard]] inline std::string file_of(std::string_view json, std::size_t data_bytes) {
    std::string bytes(8, '\0');
    for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>((std::uint64_t{json.size()} >> (8 * i)) & 0xFFU);
    bytes += json;
    bytes.append(data_bytes, '\0');
    return bytes;
}

[[nodiscard]] inline zeroi2v::safetensors_header parse(std::string_view bytes) {
    return zeroi2v::parse_safetensors(std::as_bytes(std::span{bytes.data(), bytes.size()}), "f");
}

[[nodiscard]] inline fault fault_of_file(std::string const& bytes) {
    return fault_of([&] { static_cast<void>(parse(bytes)); });
}
[[nodiscard]] inline fault fault_of_json(std::string_view json, std::size_t data_bytes = 0) {
    return fault_of_file(file_of(json, data_bytes));
}

[[nodiscard]] inline std::string entry(std::string_view name, std::string_view type, std::string_view shape,
                                std::string_view offsets) {
    std::string text = "\"";
    text.append(name).append(R"(":{"dtype":")").append(type).append(R"(","shape":)").append(shape);
    return text.append(R"(,"data_offsets":)").append(offsets).append("}");
}
template <class... Entries>
[[nodiscard]] std::string object(Entries const&... entries) {
    std::string text = "{";
    ((text += (text.size() > 1 ? "," : "") + std::string{entries}), ...);
    return text + "}";
}
/// Every byte of a 4 KB file's header changed to values_of(byte), every truncation, some extensions: the file loads as soundly
/// as before or is refused with a typed error.
template <class Values>
void damage_small_file(Values values_of) {
    std::string json = object(R"("__metadata__":{"zeroi2v.merged":"false","n\u00e9":"\ud83d\ude00 \"x\""})",
                              entry("cls", "F32", "[4]", "[0,16]"));
    for (int i = 0; i < 10; ++i) {
        auto const begin = 16 + 6 * i;
        json.insert(json.size() - 1, ","
                                         + entry("blocks." + std::to_string(i) + ".w", "BF16", "[3]",
                                                 "[" + std::to_string(begin) + "," + std::to_string(begin + 6) + "]"));
    }
    json.append((8 - json.size() % 8) % 8, ' ');
    auto const good = file_of(json, 76);
    auto const expected = parse(good);
    REQUIRE(json.size() > 700);
    REQUIRE(expected.tensors.size() == 11);

    auto const sound = [&](zeroi2v::safetensors_header const& h) { // what any accepted header promises
        std::uint64_t end = 0;
        for (std::size_t i = 0; i < h.tensors.size(); ++i) {
            if (h.ranges[i].begin != end || h.ranges[i].end - h.ranges[i].begin != h.tensors[i].byte_size())
                return false;
            end = h.ranges[i].end;
        }
        return h.find(h.tensors.front().name) == std::size_t{0};
    };
    std::size_t accepted = 0;
    std::size_t refused = 0;
    auto changed = good;
    for (std::size_t at = 0; at < 8 + json.size(); ++at) {
        for (unsigned char const value : values_of(good[at])) {
            changed[at] = static_cast<char>(value);
            try {
                auto const h = parse(changed);
                if (!sound(h)) FAIL("accepted, but not sound: byte " << at << " = " << int{value});
                ++accepted;
            } catch (zeroi2v::checkpoint_error const& e) {
                if (std::string_view{e.what()}.find("f: ") != 0) FAIL("message without the file: " << e.what());
                ++refused;
            }
        }
        changed[at] = good[at];
    }
    CHECK(accepted > 0);
    CHECK(refused > 3 * json.size());

    for (std::size_t n = 0; n < good.size(); ++n) CHECK(fault_of_file(good.substr(0, n)).thrown);
    for (std::size_t n = 1; n <= 16; ++n) {
        auto const f = fault_of_file(good + std::string(n, 'x'));
        CHECK_FAULT(f, zeroi2v::error_code::size_mismatch, 3);
        CHECK(f.says(std::to_string(n) + " extra bytes"));
    }
}

} // namespace test
