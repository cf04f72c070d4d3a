// matmul on the shapes of ViT-B/16 and ViT-L/14, eight frames; share of the FMA limit measured beside.
//   bin/benchmark_ops_matmul --benchmark_repetitions=7 --benchmark_enable_random_interleaving=true
//   ZEROI2V_ISA and ZEROI2V_THREADS choose kernels and threads.
#include "ops_common.hpp"

#include <zeroi2v/ops/matmul.hpp>
#include <zeroi2v/tensor/aligned_buffer.hpp>

#include <cmath>
#include <string>

namespace {

using namespace zeroi2v;

struct layer {
    char const* name;
    std::size_t m, n, k;
    activation act;
    bool residual;
};

constexpr layer layers[] = {
    {"b16_in_proj", 1576, 2304, 768, activation::none, false},
    {"b16_out_proj", 1576, 768, 768, activation::none, true},
    {"b16_c_fc", 1576, 3072, 768, activation::quick_gelu, false},
    {"b16_c_proj", 1576, 768, 3072, activation::none, true},
    {"b16_patches", 1568, 768, 768, activation::none, false},
    {"b16_cls_only", 8, 768, 3072, activation::none, true},
    {"l14_c_fc", 2056, 4096, 1024, activation::quick_gelu, false},
    {"l14_c_proj", 2056, 1024, 4096, activation::none, true},
};
constexpr layer mlp = layers[2]; // with each activation

void run(benchmark::State& state, layer const& l, dtype type) {
    kernel_table const& table = kernels_from_environment();
    auto const a = bench::normal_floats(l.m * l.k, 1);
    auto w = bench::normal_floats(l.n * l.k, 2);
    for (float& each : w) each /= std::sqrt(static_cast<float>(l.k)); // results of about 1, as a layer's are
    auto const bias = bench::normal_floats(l.n, 3);
    std::vector<float> c(l.m * l.n);
    packed_matrix const packed{table, type, matrix_view<float const>{w.data(), l.n, l.k}, bias};
    aligned_buffer scratch{matmul_scratch_bytes(packed, l.m)};
    epilogue after{.act = l.act};
    if (l.residual) after.residual = {c.data(), l.m, l.n};
    bench::measure(state, 2.0 * static_cast<double>(l.m) * static_cast<double>(l.n) * static_cast<double>(l.k), [&] {
        matmul(table, bench::workers(), {a.data(), l.m, l.k}, packed, after, {c.data(), l.m, l.n}, {scratch.data(), scratch.size()});
        if (l.residual) std::fill(c.begin(), c.end(), 0.0F); // or the sums would grow without end
    });
}

[[maybe_unused]] bool const registered = [] {
    for (dtype const type : {dtype::f32, dtype::bf16, dtype::i8}) {
        auto const add = [type](std::string const& name, layer const& l) {
            benchmark::RegisterBenchmark(("matmul/" + name + "/" + std::string{dtype_name(type)}).c_str(), [l, type](benchmark::State& state) { run(state, l, type); })
                ->UseRealTime()->Unit(benchmark::kMillisecond);
        };
        for (layer const& l : layers) add(l.name, l);
        for (std::size_t i = 0; i < activation_count; ++i) {
            layer with = mlp;
            with.act = static_cast<activation>(i);
            if (with.act != mlp.act) add(mlp.name + std::string{"_"} + std::string{to_string(with.act)}, with);
        }
    }
    return true;
}();

} // namespace
