// frame_offsets: a frame map as kernels read it: a table in the kernel's constant parameters, or a constant of the program.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/cuda/annotations.hpp>
#include <zeroi2v/stdha/frame_map.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace zeroi2v::cuda_kernels {

/// t + offset where that is a frame of the clip, else t.
[[nodiscard]] ZEROI2V_ON_BOTH constexpr int source_frame(int offset, int frame, int frames) noexcept {
    int const wanted = frame + offset;
    return wanted >= 0 && wanted < frames ? wanted : frame;
}

/// A map known at run time: one offset per head, 2 KiB of kernel parameters, which lie in constant memory.
///
/// source(h, t, T) = frame_map::source(h, t, T).
/// Errors  more than 1024 heads -> device_error unsupported_device.     Test  tests/unit/cuda/fragments.cpp
struct offset_table {
    static constexpr std::size_t max_heads = 1024;

    std::int16_t offsets[max_heads]{};

    offset_table() = default;
    template <std::size_t Heads>
    explicit offset_table(frame_map<Heads> const& map) {
        if (map.heads() > max_heads)
            throw device_error{error_code::unsupported_device, "cuda: heads: " + std::to_string(map.heads()) + " found, at most 1024 expected on a device"};
        for (std::size_t h = 0; h < map.heads(); ++h) offsets[h] = static_cast<std::int16_t>(map.offset(h));
    }

    [[nodiscard]] ZEROI2V_ON_BOTH constexpr int source(int head, int frame, int frames) const noexcept {
        return source_frame(offsets[head], frame, frames);
    }
};

/// A map known to the compiler: its temporal heads are compared with, all others read nothing.
template <frame_map Map>
struct static_offsets {
    [[nodiscard]] ZEROI2V_ON_BOTH constexpr int source(int head, int frame, int frames) const noexcept {
        return source_frame(offset(head, std::make_index_sequence<Map.heads()>{}), frame, frames);
    }

private:
    template <std::size_t H>
    struct offset_of {
        static constexpr int value = Map.offset(H);
    };
    template <std::size_t... H>
    [[nodiscard]] ZEROI2V_ON_BOTH static constexpr int offset(int head, std::index_sequence<H...>) noexcept {
        int result = 0;
        ((offset_of<H>::value != 0 && head == static_cast<int>(H) ? void(result = offset_of<H>::value) : void()), ...);
        return result;
    }
};

/// Gives the frame of a clip of `frames` frames whose keys and values a head of a frame reads.
template <class S>
concept offset_source = requires(S const& s, int head, int frame, int frames) {
    { s.source(head, frame, frames) } -> std::same_as<int>;
};

} // namespace zeroi2v::cuda_kernels
