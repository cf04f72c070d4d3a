// reference::gather_patches: one loop per index.
#pragma once

#include <zeroi2v/ops/matrix_view.hpp>
#include <zeroi2v/tensor/tensor_view.hpp>

#include <cstddef>

namespace zeroi2v::reference {

/// rows[(t, Y, X), (c, y, x)] = frames[t, c, Y p + y, X p + x].
template <class T>
constexpr void gather_patches(view<T const, 4> frames, std::size_t patch, matrix_view<T> rows) {
    std::size_t const down = frames.extent(2) / patch;
    std::size_t const across = frames.extent(3) / patch;
    for (std::size_t t = 0; t < frames.extent(0); ++t)
        for (std::size_t line = 0; line < down; ++line)
            for (std::size_t column = 0; column < across; ++column)
                for (std::size_t c = 0; c < frames.extent(1); ++c)
                    for (std::size_t y = 0; y < patch; ++y)
                        for (std::size_t x = 0; x < patch; ++x)
                            rows.row((t * down + line) * across + column)[(c * patch + y) * patch + x]
                                = frames(t, c, line * patch + y, column * patch + x);
}

} // namespace zeroi2v::reference
