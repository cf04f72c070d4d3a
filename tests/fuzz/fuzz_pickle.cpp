// Fuzzes the pickle machine, and the walk through whatever it finds, as if every storage were there.
//
//   clang++ -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -I include tests/fuzz/fuzz_pickle.cpp -o fuzz_pickle
//   ./fuzz_pickle -max_total_time=60 -max_len=8192
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/torch/pickle.hpp>
#include <zeroi2v/io/torch/torch_state_dict.hpp>
#include <zeroi2v/io/torch/torch_tensor.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

using namespace zeroi2v;

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    auto const* const bytes = reinterpret_cast<std::byte const*>(data);
    try {
        pickle_graph const graph = read_pickle({bytes, bytes + size}, "fuzz");
        for (bool const torchscript : {false, true}) {
            try {
                detail::torch_tensor_reader const reader{graph, "fuzz", 1'000'000};
                for (auto const& [name, rebuild, why_not] : detail::torch_state_dict_walker{graph, "fuzz", torchscript}.walk()) {
                    if (!rebuild) continue;
                    std::string obstacle;
                    auto const tensor = reader.read(name, *rebuild, obstacle);
                    if (!tensor) continue;
                    // What passed is inside its storage: the last element, computed anew.
                    unsigned __int128 last = tensor->layout.offset;
                    for (std::size_t r = 0; r < tensor->layout.sizes.rank(); ++r)
                        if (tensor->layout.sizes[r] != 0)
                            last +=
                                static_cast<unsigned __int128>(tensor->layout.sizes[r] - 1) * tensor->layout.strides[r];
                    if (tensor->layout.sizes.count() != 0 && (last + 1) * size_of(tensor->type) > tensor->storage_bytes)
                        std::abort();
                }
            } catch (checkpoint_error const&) {}
        }
    } catch (checkpoint_error const&) {}
    return 0;
}
