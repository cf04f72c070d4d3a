#include "checkpoint_source.hpp"

namespace zeroi2v::program {

checkpoint open_checkpoint(std::filesystem::path const& path) { return load_checkpoint(path); }

vit_file open_vit(checkpoint const& opened) { return vit_file{opened}; }

} // namespace zeroi2v::program
