// patches: frames cut into patches, one row each: of floats as they are, or of 8-bit frames resized, cropped and normalised.
#pragma once

#include <zeroi2v/cuda/annotations.hpp>
#include <zeroi2v/cuda/elements.hpp>
#include <zeroi2v/ops/bilinear_taps.hpp>

#include <cstddef>
#include <cstdint>

namespace zeroi2v::cuda_kernels {

/// Which pixel of its frame element k of a patch's row is, for square images of S pixels and patches of p.
///
///   row = frame P + Y (S/p) + X,   k = (c p + y) p + x   <->   channel c, pixel (Y p + y, X p + x)
///
/// Test  tests/unit/cuda/fragments.cpp
struct patch_grid {
    int image{}, patch{};

    struct pixel {
        int channel{}, y{}, x{};
        friend constexpr bool operator==(pixel const&, pixel const&) noexcept = default;
    };
    [[nodiscard]] ZEROI2V_ON_BOTH constexpr int across() const noexcept { return image / patch; }
    [[nodiscard]] ZEROI2V_ON_BOTH constexpr int patches() const noexcept { return across() * across(); }
    [[nodiscard]] ZEROI2V_ON_BOTH constexpr int values() const noexcept { return 3 * patch * patch; }
    [[nodiscard]] ZEROI2V_ON_BOTH constexpr pixel at(int row_in_frame, int k) const noexcept {
        int const line = row_in_frame / across(), column = row_in_frame % across();
        int const within = k % (patch * patch);
        return {k / (patch * patch), line * patch + within / patch, column * patch + within % patch};
    }

    struct element {
        std::size_t frame{};
        int row_in_frame{}, k{};
        friend constexpr bool operator==(element const&, element const&) noexcept = default;
    };
    /// Element i of all rows, each row_elements long.
    [[nodiscard]] ZEROI2V_ON_BOTH constexpr element element_of(std::size_t i, int row_elements) const noexcept {
        auto const each = static_cast<std::size_t>(row_elements), rows = static_cast<std::size_t>(patches());
        return {i / each / rows, static_cast<int>(i / each % rows), static_cast<int>(i % each)};
    }
};

inline constexpr unsigned patch_threads = 256; ///< one element of a row each
[[nodiscard]] ZEROI2V_ON_BOTH constexpr std::size_t patch_blocks(std::size_t rows, std::size_t row_elements) noexcept {
    return (rows * row_elements + patch_threads - 1) / patch_threads;
}

/// Rows of patches from frames of floats; elements from 3 p p on, which make rows a multiple of 16 bytes, are zeros.
///
/// Shapes  frames (n,3,S,S); rows (n P,row_elements).     Numerics  one rounding to E.
/// Test    tests/unit/cuda/kernels.cpp, on the host; not yet run on a device
template <element E>
struct gather_patches {
    struct arguments {
        float const* frames{};
        E* rows{};
        std::size_t count{}; ///< n
        int row_elements{};
        patch_grid grid;
    };
    static constexpr char const* name = "gather_patches";
    static constexpr unsigned max_threads = patch_threads;

    template <class Block>
    ZEROI2V_ON_DEVICE static void run(Block& block, arguments const& a) noexcept {
        std::size_t const i = static_cast<std::size_t>(block.index()) * patch_threads + block.thread();
        auto const [frame, row, k] = a.grid.element_of(i, a.row_elements);
        if (frame >= a.count) return;
        float value = 0;
        if (k < a.grid.values()) {
            auto const [channel, y, x] = a.grid.at(row, k);
            auto const side = static_cast<std::size_t>(a.grid.image);
            value = a.frames[((frame * 3 + static_cast<std::size_t>(channel)) * side + static_cast<std::size_t>(y)) * side + static_cast<std::size_t>(x)];
        }
        a.rows[i] = from_float<E>(value);
    }
};

/// One view of one decoded frame: where it comes from and where its patches go.
struct pixel_job {
    std::uint32_t frame{};  ///< of those uploaded together
    std::uint32_t window{}; ///< of the crops
    std::uint32_t target{}; ///< frame of the batch, 0 to V T
};

/// Rows of patches from decoded frames: the bits of bilinear_resizer and normalizer (video/), rounded to E.
///
/// Shapes  frames (n,H,W,3) u8 without gaps; columns, lines (crops,S); table (3,256); rows (V T P,row_elements).
/// Cost    12 integer operations per output value; no resized picture exists.
/// Test    tests/unit/cuda/kernels.cpp, on the host; not yet run on a device
template <element E>
struct gather_pixels {
    struct arguments {
        std::uint8_t const* frames{};
        pixel_job const* jobs{};
        bilinear_tap const *columns{}, *lines{};
        float const* table{};
        E* rows{};
        std::size_t count{}; ///< of jobs
        int width{}, height{}, row_elements{};
        patch_grid grid;
    };
    static constexpr char const* name = "gather_pixels";
    static constexpr unsigned max_threads = patch_threads;

    template <class Block>
    ZEROI2V_ON_DEVICE static void run(Block& block, arguments const& a) noexcept {
        std::size_t const i = static_cast<std::size_t>(block.index()) * patch_threads + block.thread();
        auto const [number, row, k] = a.grid.element_of(i, a.row_elements);
        if (number >= a.count) return;
        pixel_job const job = a.jobs[number];
        float value = 0;
        if (k < a.grid.values()) {
            auto const [channel, y, x] = a.grid.at(row, k);
            std::size_t const window = static_cast<std::size_t>(job.window) * static_cast<std::size_t>(a.grid.image);
            bilinear_tap const column = a.columns[window + static_cast<std::size_t>(x)], line = a.lines[window + static_cast<std::size_t>(y)];
            auto const row_bytes = static_cast<std::size_t>(a.width) * 3;
            std::uint8_t const* const picture = a.frames + job.frame * static_cast<std::size_t>(a.height) * row_bytes + channel;
            auto const across = [&](std::uint32_t at) {
                std::uint8_t const* const pixels = picture + at * row_bytes;
                return pixels[std::size_t{column.first} * 3] * column.first_weight + pixels[std::size_t{column.second} * 3] * column.second_weight;
            };
            value = a.table[channel * 256 + blend(across(line.first), across(line.second), line)];
        }
        auto const patches = static_cast<std::size_t>(a.grid.patches());
        a.rows[(job.target * patches + static_cast<std::size_t>(row)) * static_cast<std::size_t>(a.row_elements) + static_cast<std::size_t>(k)] = from_float<E>(value);
    }

private:
    /// The value between two lines, as OpenCV rounds it.
    ZEROI2V_ON_DEVICE static int blend(std::int32_t above, std::int32_t below, bilinear_tap const& line) noexcept {
        return (((line.first_weight * (above >> 4)) >> 16) + ((line.second_weight * (below >> 4)) >> 16) + 2) >> 2;
    }
};

} // namespace zeroi2v::cuda_kernels
