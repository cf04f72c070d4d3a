// Opening checkpoints: the readers of every format are compiled here once, not in each command.
#pragma once

#include <zeroi2v/io/checkpoints/checkpoint_file.hpp>
#include <zeroi2v/io/checkpoints/vit_io.hpp>

#include <filesystem>

namespace zeroi2v::program {

/// load_checkpoint(path).
[[nodiscard]] checkpoint open_checkpoint(std::filesystem::path const& path);

/// vit_file{opened}; `opened` must outlive it.
[[nodiscard]] vit_file open_vit(checkpoint const& opened);

} // namespace zeroi2v::program
