// Every instruction that the library writes out itself: compiled in both dialects of assembly by check.sh, never run.
#include <zeroi2v/simd/dot.hpp>
#include <zeroi2v/simd/product_loop.hpp>
#include <zeroi2v/simd/tiles.hpp>

#include <cstddef>

using namespace zeroi2v;
using namespace zeroi2v::detail;

void loop_6x2(product_block const& on) { product_loop<f32_product<arch::avx2>, 6, 2>::run(on); }
void loop_8x3(product_block const& on) { product_loop<f32_product<arch::avx512>, 8, 3>::run(on); }
void loop_12x2(product_block const& on) { product_loop<f32_product<arch::avx512>, 12, 2>::run(on); }
void loop_of_bytes(product_block const& on) { product_loop<vnni_product<arch::avx512vnni>, 8, 3>::run(on); }
static_assert(product_loop<f32_product<arch::avx2>, 6, 2>::written && product_loop<f32_product<arch::avx512>, 8, 3>::written
              && product_loop<f32_product<arch::avx512>, 12, 2>::written && product_loop<vnni_product<arch::avx512vnni>, 8, 3>::written);

__m128i dot(__m128i a, __m128i b, __m128i c) { return dot_s16(a, b, c); }
__m256i dot(__m256i a, __m256i b, __m256i c) { return dot_s16(a, b, c); }
__m512i dot(__m512i a, __m512i b, __m512i c) { return dot_s16(a, b, c); }

static_assert(ZEROI2V_HAS_TILES == 1);
void multiply_tiles(void const* from, void* to, std::size_t stride) {
    using regs = tiles<arch::amx>;
    regs::configure(16, 16);
    regs::zero<0>();
    regs::load<4>(from, stride);
    regs::load<6>(from, stride);
    bf16_tile_product<arch::amx>::multiply_add<0, 4, 6>();
    s8_tile_product<arch::amx>::multiply_add<1, 4, 6>();
    regs::store<0>(to, stride);
    regs::release();
}
