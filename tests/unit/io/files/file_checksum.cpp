#include <zeroi2v/io/files/file_checksum.hpp>

#include "../archives.hpp"
#include "../memory_file.hpp"

#include <zeroi2v/io/files/crc32.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <string>

using namespace zeroi2v;

TEST_CASE("file_checksum: every byte from the first to the last, of files of no bytes, of one, and around a whole buffer") {
    std::string all((std::size_t{2} << 20U) + 3, '\0');
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<char>(i * 7 + i / 251 + 1);
    for (std::size_t const size : {std::size_t{0}, std::size_t{1}, std::size_t{2}, (std::size_t{1} << 20U) - 1, std::size_t{1} << 20U, (std::size_t{1} << 20U) + 1, all.size()}) {
        std::string const content = all.substr(0, size);
        test::memory_file const memory{content};
        CHECK(file_checksum(file{memory.path()}) == crc32::of(test::bytes_of(content)));
    }
}
