// file_checksum: what a file's bytes are known by.
#pragma once

#include <zeroi2v/io/files/crc32.hpp>
#include <zeroi2v/io/files/file.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace zeroi2v {

/// CRC-32 of a whole file.
/// Errors  as file::read_at.    Cost  one read of it, 1 MiB of memory.    Test  tests/unit/io/train/train_clips.cpp
[[nodiscard]] inline std::uint32_t file_checksum(file const& of) {
    crc32 sum;
    std::vector<std::byte> buffer(std::size_t{1} << 20U);
    for (std::uint64_t done = 0; done < of.size();) {
        auto const part = std::span{buffer}.first(static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), of.size() - done)));
        of.read_at(done, part);
        sum.update(part);
        done += part.size();
    }
    return sum.value();
}

} // namespace zeroi2v
