// Any bytes as a safetensors file: parsed soundly, or refused with a typed error that names the file.
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/safetensors/safetensors_header.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

namespace {

void require(bool condition) {
    if (!condition) std::abort();
}

/// What a header promises to whoever reads tensors by it.
void check(zeroi2v::safetensors_header const& header, std::uint64_t data_size) {
    std::uint64_t end = 0;
    for (std::size_t i = 0; i < header.tensors.size(); ++i) {
        require(header.ranges[i].begin == end);
        require(header.ranges[i].end - end == header.tensors[i].byte_size());
        require(header.find(header.tensors[i].name) == i);
        end = header.ranges[i].end;
    }
    require(end == data_size);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    auto const bytes = std::as_bytes(std::span{data, size});
    std::string_view const text{reinterpret_cast<char const*>(data), size};
    auto const guarded = [](auto&& parse) {
        try {
            parse();
        } catch (zeroi2v::checkpoint_error const& e) {
            require(std::string_view{e.what()}.starts_with("f: "));
            require(std::string_view{e.what()}.find('\n') == std::string_view::npos);
        }
    };
    guarded([&] {
        auto const header = zeroi2v::parse_safetensors(bytes, "f");
        std::uint64_t length = 0;
        for (std::size_t i = 0; i < 8; ++i) length |= std::uint64_t{data[i]} << (8 * i);
        check(header, size - 8 - length);
    });
    // The same bytes as a bare header: no length field for the fuzzer to keep right.
    for (std::uint64_t const data_size : {0U, 4U, 24U})
        guarded([&] { check(zeroi2v::parse_safetensors_header(text, data_size, "f"), data_size); });
    return 0;
}
