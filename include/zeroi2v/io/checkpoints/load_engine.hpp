// load_engine: weights packed straight from their file, block by block, never whole in memory as they are stored.
#pragma once

#include <zeroi2v/io/checkpoints/vit_io.hpp>
#include <zeroi2v/model/vit_config.hpp>
#include <zeroi2v/model/vit_engine.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>

#include <string>

namespace zeroi2v {

/// vit_engine{source.load<Adapters>(config, load), options} in less memory.
///
///     auto const file = load_checkpoint("merged.safetensors");
///     vit_file const source{file};
///     auto const engine = load_engine<no_adapters>(source, source.config(), {.dtype = dtype::bf16});
///
/// Errors  as vit_file::load and vit_engine.   Cost  memory: the packed weights, and one block as the file has it.
/// Test    tests/unit/io/checkpoints/load_engine.cpp
template <class Adapters>
[[nodiscard]] vit_engine<Adapters> load_engine(vit_file const& source, vit_config const& config, engine_options options = {},
                                               load_options load = {}) {
    source.require_model<Adapters>(config, load);
    auto const read = [&](std::string const& name, stored_tensor& into) { into = source.read_weight(name, load); };
    return vit_engine<Adapters>{config, source.layout(), read, options};
}

} // namespace zeroi2v
