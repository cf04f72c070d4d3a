// Attention of ViT-B/16 and ViT-L/14, eight frames: plain, with shifted heads, and for CLS alone; beside the FMA limit.
//   bin/benchmark_ops_attention --benchmark_repetitions=7 --benchmark_enable_random_interleaving=true
#include "ops_common.hpp"

#include <zeroi2v/ops/attention.hpp>
#include <zeroi2v/tensor/aligned_buffer.hpp>

namespace {

using namespace zeroi2v;

template <class Source>
void run(benchmark::State& state, attention_shape const& shape, Source const& source) {
    kernel_table const& table = kernels_from_environment();
    std::size_t const width = shape.heads * shape.head_dim;
    auto const qkv = bench::normal_floats(shape.frames * shape.keys * 3 * width, 1);
    std::vector<float> y(shape.frames * shape.queries * width);
    std::size_t const floats = attention_scratch_floats(table, shape, bench::workers().concurrency());
    aligned_buffer scratch{floats * sizeof(float)};
    auto const part = [&](std::size_t which) {
        return token_rows<float const>{qkv.data() + which * width, shape.keys * 3 * width, 3 * width, shape.head_dim};
    };
    double const flops = 4.0 * static_cast<double>(shape.frames * shape.queries) * static_cast<double>(shape.keys * width);
    bench::measure(state, flops, [&] {
        attention(table, bench::workers(), shape, part(0), part(1), part(2), {y.data(), shape.queries * width, width, shape.head_dim},
                  source, {reinterpret_cast<float*>(scratch.data()), floats});
    });
}

constexpr auto own = [](std::size_t, std::size_t frame) { return frame; };
/// Heads 0 and 1 read the frame before and behind, as the K400 presets do.
constexpr auto shifted = [](std::size_t head, std::size_t frame) {
    return head == 0 && frame > 0 ? frame - 1 : head == 1 && frame < 7 ? frame + 1 : frame;
};

constexpr attention_shape b16{8, 197, 197, 12, 64};
constexpr attention_shape b16_cls{8, 1, 197, 12, 64};
constexpr attention_shape l14{8, 257, 257, 16, 64};

void attention_b16_plain(benchmark::State& state) { run(state, b16, own); }
void attention_b16_shifted(benchmark::State& state) { run(state, b16, shifted); }
void attention_b16_cls(benchmark::State& state) { run(state, b16_cls, shifted); }
void attention_l14_plain(benchmark::State& state) { run(state, l14, own); }
BENCHMARK(attention_b16_plain)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(attention_b16_shifted)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(attention_b16_cls)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(attention_l14_plain)->UseRealTime()->Unit(benchmark::kMillisecond);

} // namespace
