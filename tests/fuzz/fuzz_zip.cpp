// Fuzzes a whole PyTorch file: directory, entries, pickle, tensors.
//
//   clang++ -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -I include tests/fuzz/fuzz_zip.cpp -o fuzz_zip
//   mkdir -p corpus && ./fuzz_zip -max_total_time=60 -max_len=16384 corpus tests/data/torch
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/file.hpp>
#include <zeroi2v/io/torch/torch_file.hpp>
#include <zeroi2v/io/torch/zip.hpp>

#include "../unit/io/memory_file.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

using namespace zeroi2v;

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    test::memory_file const bytes{{reinterpret_cast<char const*>(data), size}};
    try {
        zip_archive const archive{file{bytes.path()}};
        for (auto const& entry : archive.entries()) {
            if (entry.data_offset + entry.stored_size > size) std::abort();
            try {
                static_cast<void>(archive.read(entry));
            } catch (checkpoint_error const&) {}
        }
        torch_file const source{file{bytes.path()}};
        for (auto const& info : source.tensors()) {
            if (info.byte_size() > size) std::abort();
            try {
                static_cast<void>(source.read(info.name));
            } catch (checkpoint_error const&) {}
        }
    } catch (checkpoint_error const&) {}
    return 0;
}
