// matmul: exact on integers over every shape, rounding bounded on random data, the same bits however it is cut.
#include <zeroi2v/ops/matmul.hpp>

#include "activations.hpp"
#include "tables.hpp"

#include <zeroi2v/ops/reference/matmul.hpp>
#include <zeroi2v/parallel/thread_team.hpp>

using namespace zeroi2v;
using namespace zeroi2v::test;

namespace {

constexpr dtype types[] = {dtype::f32, dtype::bf16, dtype::i8};

std::vector<std::size_t> sweep_k() {
    std::vector<std::size_t> all;
    for (std::size_t k = 1; k <= 16; ++k) all.push_back(k);
    for (std::size_t const k : {31U, 32U, 33U, 63U, 64U, 65U, 127U, 196U, 197U, 767U, 768U, 769U, 3072U}) all.push_back(k);
    return all;
}

/// Integers whose int8 step is exactly 1: each row has one 127.
std::vector<float> int8_rows(std::size_t rows, std::size_t k, std::uint64_t seed) {
    auto values = integers(rows * k, seed, 8);
    counter_rng const rng{seed, 1};
    for (std::size_t row = 0; row < rows; ++row) values[row * k + rng.bits(row) % k] = rng.bits(row + rows) % 2 == 0 ? 127.F : -127.F;
    return values;
}

struct problem {
    kernel_table const& table;
    executor& workers;
    aligned_buffer scratch{};

    void operator()(matrix_view<float const> a, packed_matrix const& w, epilogue const& after, matrix_view<float> c) {
        std::size_t const bytes = matmul_scratch_bytes(w, a.rows);
        if (scratch.size() < bytes) scratch = aligned_buffer{bytes};
        matmul(table, workers, a, w, after, c, {scratch.data(), bytes});
    }
};

} // namespace

TEST_CASE("integers are exact for M 1-17, N 1-33 and every K around a block") {
    serial_executor serial;
    std::size_t cases = 0;
    for (std::size_t const k : sweep_k()) {
        constexpr std::size_t rows = 17;
        constexpr std::size_t outputs = 33;
        auto const bias = integers(outputs, k + 3, 50);
        auto const residual = integers(rows * outputs, k + 4, 50);
        for (dtype const type : types) {
            auto const a = type == dtype::i8 ? int8_rows(rows, k, k) : integers(rows * k, k, 8);
            auto const w = type == dtype::i8 ? int8_rows(outputs, k, k + 1) : integers(outputs * k, k + 1, 8);
            std::vector<double> want(rows * outputs);
            reference::matmul(matrix_view<float const>{a.data(), rows, k}, matrix_view<float const>{w.data(), outputs, k},
                              matrix_view<double>{want.data(), rows, outputs});
            for (kernel_table const* table : tables()) {
                problem run{*table, serial};
                for (std::size_t n = 1; n <= outputs; ++n) {
                    bool const with_bias = n % 2 == 0;
                    packed_matrix const packed{*table, type, matrix_view<float const>{w.data(), n, k},
                                               with_bias ? std::span{bias}.first(n) : std::span<float const>{}};
                    for (std::size_t m = 1; m <= rows; ++m) {
                        bool const in_place = m % 3 == 1;
                        bool const with_residual = m % 3 != 0;
                        std::vector<float> c(m * n, 1e30F); // what is there before must not matter
                        if (in_place)
                            for (std::size_t i = 0; i < m * n; ++i) c[i] = residual[i / n * outputs + i % n];
                        epilogue after;
                        if (in_place) after.residual = matrix_view<float const>{c.data(), m, n};
                        else if (with_residual) after.residual = matrix_view<float const>{residual.data(), m, n, outputs};
                        run({a.data(), m, k}, packed, after, {c.data(), m, n});
                        std::size_t wrong = 0;
                        for (std::size_t i = 0; i < m * n; ++i) {
                            std::size_t const at = i / n * outputs + i % n;
                            double expected = want[at];
                            if (with_bias) expected += static_cast<double>(bias[i % n]);
                            if (with_residual) expected += static_cast<double>(residual[at]);
                            wrong += static_cast<double>(c[i]) == expected ? 0U : 1U;
                        }
                        ++cases;
                        if (wrong != 0) FAIL_CHECK(name_of(*table) << " " << dtype_name(type) << " M " << m << " N " << n << " K " << k
                                                                   << ": " << wrong << " of " << m * n << " wrong");
                    }
                }
            }
        }
    }
    CHECK(cases == tables().size() * 3 * 29 * 33 * 17);
}

TEST_CASE("every dimension from 1 to 65 and one beside a tile, exact on integers") {
    serial_executor serial;
    for (kernel_table const* table : tables())
        for (dtype const type : types) {
            problem run{*table, serial};
            for (std::size_t size = 1; size <= 65; ++size)
                for (auto const& sizes : {std::array{size, std::size_t{7}, std::size_t{9}}, {std::size_t{7}, size, std::size_t{9}},
                                          {std::size_t{7}, std::size_t{9}, size}, {size, size, size}}) {
                    std::size_t const m = sizes[0], n = sizes[1], k = sizes[2];
                    auto const a = type == dtype::i8 ? int8_rows(m, k, size) : integers(m * k, size, 8);
                    auto const w = type == dtype::i8 ? int8_rows(n, k, size + 1) : integers(n * k, size + 1, 8);
                    std::vector<double> want(m * n);
                    reference::matmul(matrix_view<float const>{a.data(), m, k}, matrix_view<float const>{w.data(), n, k},
                                      matrix_view<double>{want.data(), m, n});
                    packed_matrix const packed{*table, type, matrix_view<float const>{w.data(), n, k}};
                    std::vector<float> c(m * n, 1e30F);
                    run({a.data(), m, k}, packed, {}, {c.data(), m, n});
                    bool equal = true;
                    for (std::size_t i = 0; i < c.size(); ++i) equal = equal && static_cast<double>(c[i]) == want[i];
                    CHECK_MESSAGE(equal, name_of(*table) << " " << dtype_name(type) << " " << m << "x" << n << "x" << k);
                }
        }
}

TEST_CASE("rows and channels beside two tiles, k beside a tile and beside a block of sums: exact on integers") {
    serial_executor serial;
    for (std::size_t const k : {31U, 32U, 33U, 64U, 65U, 97U, 3071U, 3073U, 6210U})
        for (dtype const type : {dtype::bf16, dtype::i8}) {
            constexpr std::size_t rows = 67, outputs = 65;
            auto const a = type == dtype::i8 ? int8_rows(rows, k, k) : integers(rows * k, k, 8);
            auto const w = type == dtype::i8 ? int8_rows(outputs, k, k + 1) : integers(outputs * k, k + 1, 8);
            std::vector<double> want(rows * outputs);
            reference::matmul(matrix_view<float const>{a.data(), rows, k}, matrix_view<float const>{w.data(), outputs, k},
                              matrix_view<double>{want.data(), rows, outputs});
            for (kernel_table const* table : tables()) {
                problem run{*table, serial};
                for (std::size_t const n : {1U, 16U, 17U, 32U, 33U, 49U, 65U}) {
                    packed_matrix const packed{*table, type, matrix_view<float const>{w.data(), n, k}};
                    for (std::size_t m = 1; m <= rows; m += k > 100 && m > 2 ? 14 : 1) {
                        std::vector<float> c(m * n, 1e30F);
                        run({a.data(), m, k}, packed, {}, {c.data(), m, n});
                        std::size_t wrong = 0;
                        for (std::size_t i = 0; i < m * n; ++i) wrong += static_cast<double>(c[i]) == want[i / n * outputs + i % n] ? 0U : 1U;
                        CHECK_MESSAGE(wrong == 0, name_of(*table) << " " << dtype_name(type) << " " << m << "x" << n << "x" << k << ": " << wrong << " wrong");
                    }
                }
            }
        }
}

// A kernel of bf16 weights either rounds its rows as bf16 rounds, or multiplies them as they are: of every table it is known which.
TEST_CASE("rows for bf16 weights are rounded as bf16 rounds and padded with zeros, or not rounded at all") {
    counter_rng const rng{9};
    std::size_t judged = 0;
    for (kernel_table const* table : tables()) {
        matmul_kernel const& kernel = table->bf16;
        bool const multiplies_bf16 = table->level == isa::avx512bf16 || table->level == isa::amx;
        CHECK((kernel.prepare_rows != nullptr) == multiplies_bf16);
        {
            serial_executor serial;
            std::vector<float> const fine{1.0F + 0x1p-20F, -3.0F - 0x1p-20F, 0x1p-140F}, weight{1.0F, 1.0F, 0.0F};
            packed_matrix const packed{*table, dtype::bf16, matrix_view<float const>{weight.data(), 1, 3}};
            float c = 0;
            problem{*table, serial}({fine.data(), 1, 3}, packed, {}, {&c, 1, 1});
            CHECK(c == (multiplies_bf16 ? -2.0F : fine[0] + fine[1]));
            ++judged;
        }
        if (!multiplies_bf16) continue;
        for (std::size_t k = 1; k <= 130; ++k)
            for (bool const special : {false, true}) {
                std::vector<float> row(k);
                for (std::size_t i = 0; i < k; ++i) {
                    auto word = static_cast<std::uint32_t>(rng.bits(k * 1000 + i));
                    if (special) word = (word & 0x80ffffffU) | (word % 3 == 0 ? 0x7f000000U : 0U); // subnormal and small; infinite, NaN and large
                    if (special && word % 5 == 0) word = (word & 0xffff0000U) | 0x8000U;            // a tie
                    std::memcpy(&row[i], &word, sizeof word);
                }
                aligned_buffer prepared{kernel.prepared_stride(k) * sizeof(std::uint16_t)};
                std::memset(prepared.data(), 0xff, prepared.size());
                float scale = 0;
                kernel.prepare_rows({row.data(), k, 1, k, prepared.data(), &scale});
                auto const* const got = reinterpret_cast<std::uint16_t const*>(prepared.data());
                bool equal = scale == 1.0F;
                for (std::size_t i = 0; i < kernel.prepared_stride(k); ++i) equal = equal && got[i] == (i < k ? bf16{row[i]}.bits : 0);
                CHECK_MESSAGE(equal, name_of(*table) << " K " << k);
            }
    }
    CHECK(judged == tables().size());
}

// A sum of one sign grows with every product, and so does each rounding: within a block of 256 to about 6 units. Unblocked
// it would be 30 at K = 20000.
TEST_CASE("the rounding error of float and bf16 weights is below 2 units of eps * sum |a b|, below 8 for a single sign") {
    serial_executor serial;
    constexpr std::size_t m = 13;
    constexpr std::size_t n = 49;
    double worst[3] = {};
    for (std::size_t const k : {1U, 2U, 3U, 17U, 64U, 196U, 255U, 256U, 257U, 511U, 513U, 768U, 1024U, 3072U, 4096U, 8192U, 20000U})
        for (int const kind : {0, 1, 2}) { // normal, all positive, huge and tiny mixed
            auto a = kind == 1 ? random_floats(m * k, k, 0, 1) : normal_floats(m * k, k);
            auto w = kind == 1 ? random_floats(n * k, k + 1, 0, 1) : normal_floats(n * k, k + 1);
            if (kind == 2)
                for (std::size_t i = 0; i < a.size(); i += 3) a[i] *= 1e6F;
            for (dtype const type : {dtype::f32, dtype::bf16}) {
                if (type == dtype::bf16) // so that weights and, where they are rounded, activations are exact
                    for (std::vector<float>* const values : {&a, &w})
                        for (float& value : *values) value = static_cast<float>(bf16{value});
                std::vector<double> want(m * n);
                std::vector<double> magnitude(m * n);
                matrix_view<float const> const left{a.data(), m, k};
                matrix_view<float const> const right{w.data(), n, k};
                reference::matmul(left, right, matrix_view<double>{want.data(), m, n});
                reference::matmul_magnitude(left, right, matrix_view<double>{magnitude.data(), m, n});
                for (kernel_table const* table : tables()) {
                    packed_matrix const packed{*table, type, right};
                    std::vector<float> c(m * n);
                    problem{*table, serial}(left, packed, {}, {c.data(), m, n});
                    double const error = max_error(c, want, [&](std::size_t i) { return 0x1p-23 * magnitude[i]; });
                    worst[kind] = std::max(worst[kind], error);
                    CHECK_MESSAGE(error <= (kind == 1 ? 8 : 2), name_of(*table) << " " << dtype_name(type) << " K " << k << " kind " << kind << ": " << error);
                }
            }
        }
    MESSAGE("largest rounding error in eps * sum |a b|: normal " << worst[0] << ", one sign " << worst[1] << ", mixed sizes " << worst[2]);
}

TEST_CASE("int8 differs from the reference by its rounding only, and a row that is not finite is NaN") {
    serial_executor serial;
    constexpr std::size_t m = 9, n = 35, k = 197;
    auto a = normal_floats(m * k, 5);
    auto const w = normal_floats(n * k, 6);
    a[3 * k + 100] = std::numeric_limits<float>::infinity();
    a[5 * k + 7] = std::numeric_limits<float>::quiet_NaN();
    std::fill_n(a.begin() + 7 * k, k, 0.0F);
    for (kernel_table const* table : tables()) {
        packed_matrix const packed{*table, dtype::i8, matrix_view<float const>{w.data(), n, k}};
        std::vector<float> c(m * n);
        problem{*table, serial}({a.data(), m, k}, packed, {}, {c.data(), m, n});
        for (std::size_t row = 0; row < m; ++row) {
            float top = 0;
            for (std::size_t i = 0; i < k; ++i) top = std::max(top, std::fabs(a[row * k + i]));
            for (std::size_t column = 0; column < n; ++column) {
                float const got = c[row * n + column];
                if (row == 3 || row == 5) {
                    CHECK(std::isnan(got));
                    continue;
                }
                double want = 0, bound = 1e-6;
                float top_w = 0;
                for (std::size_t i = 0; i < k; ++i) top_w = std::max(top_w, std::fabs(w[column * k + i]));
                for (std::size_t i = 0; i < k; ++i) {
                    double const x = static_cast<double>(a[row * k + i]), y = static_cast<double>(w[column * k + i]);
                    double const dx = static_cast<double>(top) / 254 * 1.001, dy = static_cast<double>(top_w) / 254 * 1.001; // half a step each
                    want += x * y;
                    bound += std::fabs(x) * dy + std::fabs(y) * dx + dx * dy;
                }
                CHECK(std::fabs(static_cast<double>(got) - want) <= bound);
                if (row == 7) CHECK(got == 0);
            }
        }
    }
}

TEST_CASE("int8 of rows so small that 127 / max |x| is no float: within half a step, or zeros") {
    serial_executor serial;
    constexpr std::size_t m = 5, n = 3, k = 40;
    std::vector<float> a(m * k);
    std::vector<float> const w(n * k, 1.0F);
    for (std::size_t row = 0; row < m; ++row)
        for (std::size_t i = 0; i < k; ++i) a[row * k + i] = i % 4 == 0 ? 0.0F : std::ldexp(1.0F, -119 - static_cast<int>(row) * 2);
    for (kernel_table const* table : tables()) {
        packed_matrix const packed{*table, dtype::i8, matrix_view<float const>{w.data(), n, k}};
        std::vector<float> c(m * n);
        problem{*table, serial}({a.data(), m, k}, packed, {}, {c.data(), m, n});
        for (std::size_t row = 0; row < m; ++row) {
            double const want = 30 * std::ldexp(1.0, -119 - static_cast<int>(row) * 2);
            for (std::size_t column = 0; column < n; ++column) {
                auto const got = static_cast<double>(c[row * n + column]);
                CHECK_MESSAGE((row < 2 ? std::fabs(got - want) <= 0.01 * want : got == 0), name_of(*table) << " row " << row << ": " << got << ", " << want);
            }
        }
    }
}

TEST_CASE("int8 sums are exact at the extremes -128 and 127 and at the longest k") {
    for (kernel_table const* table : tables()) {
        matmul_kernel const& kernel = table->i8;
        bool const biased = kernel.weight_sums; // activations are stored with 128 added
        for (std::size_t const k : {std::size_t{4U}, std::size_t{768}, kernel.max_k}) {
            std::size_t const n = kernel.panel_width + 1;
            aligned_buffer panels{2 * kernel.panel_bytes(k)};
            std::memset(panels.data(), 0, panels.size());
            std::vector<std::int32_t> sums(n);
            auto const weight = [](std::size_t channel, std::size_t i) -> int {
                switch (channel % 4) {
                case 0: return -128;
                case 1: return 127;
                case 2: return i % 2 == 0 ? -128 : 127;
                default: return static_cast<int>((i * 37 + channel) % 256) - 128;
                }
            };
            for (std::size_t channel = 0; channel < n; ++channel)
                for (std::size_t i = 0; i < k; ++i) {
                    std::size_t const width = kernel.panel_width;
                    std::size_t const group = kernel.group;
                    std::size_t const at = channel / width * kernel.panel_bytes(k) + i / group * width * group + channel % width * group + i % group;
                    panels.data()[at] = static_cast<std::byte>(weight(channel, i));
                    sums[channel] += weight(channel, i);
                }
            for (int const x : {-128, 127}) {
                std::vector<std::int16_t> wide(kernel.prepared_stride(k), static_cast<std::int16_t>(x));
                std::vector<std::uint8_t> narrow(kernel.prepared_stride(k), static_cast<std::uint8_t>(x + 128));
                std::vector<float> const ones(n, 1.0F);
                std::vector<float> c(n);
                matmul_args args{};
                std::vector<std::int8_t> const bytes(kernel.prepared_stride(k), static_cast<std::int8_t>(x));
                if (biased) args.a = narrow.data();
                else if (kernel.activation_bytes == 1) args.a = bytes.data();
                else args.a = wide.data();
                args.lda = kernel.prepared_stride(k);
                args.row_scales = ones.data();
                args.panels = panels.data();
                args.scales = ones.data();
                args.sums = sums.data();
                args.c = c.data();
                args.ldc = n;
                args.m = 1;
                args.n = n;
                args.k = k;
                kernel.run(args);
                for (std::size_t channel = 0; channel < n; ++channel) {
                    std::int64_t want = 0;
                    for (std::size_t i = 0; i < k; ++i) want += static_cast<std::int64_t>(x) * weight(channel, i);
                    REQUIRE(std::abs(want) <= std::numeric_limits<std::int32_t>::max());
                    CHECK(c[channel] == static_cast<float>(want));
                }
            }
        }
        std::vector<float> const row(kernel.max_k + 1, 1.0F);
        CHECK_THROWS_AS((packed_matrix{*table, dtype::i8, matrix_view<float const>{row.data(), 1, row.size()}}), model_error);
    }
}

TEST_CASE("the same bits for every cut of the rows, every number of threads, every alignment and stride") {
    constexpr std::size_t m = 131, n = 101, k = 333;
    auto const a = normal_floats(m * k, 1);
    auto const w = normal_floats(n * k, 2);
    auto const bias = normal_floats(n, 3);
    auto const residual = normal_floats(m * n, 4);
    for (kernel_table const* table : tables())
        for (dtype const type : types) {
            serial_executor serial;
            packed_matrix const packed{*table, type, matrix_view<float const>{w.data(), n, k}, bias};
            epilogue const after{activation::quick_gelu, {residual.data(), m, n}};
            std::vector<float> want(m * n);
            problem{*table, serial}({a.data(), m, k}, packed, after, {want.data(), m, n});

            std::vector<float> c(m * n);
            problem alone{*table, serial};
            for (std::size_t first = 0, step = 1; first < m; first += step, step = step % 13 + 1) {
                std::size_t const rows = std::min(step, m - first);
                alone({a.data() + first * k, rows, k}, packed,
                      {activation::quick_gelu, {residual.data() + first * n, rows, n}}, {c.data() + first * n, rows, n});
            }
            CHECK(same_bits(c, want));

            for (int threads = 1; threads <= 64; threads += threads < 9 ? 1 : 11) {
                thread_team team{threads};
                std::fill(c.begin(), c.end(), 0.0F);
                problem{*table, team}({a.data(), m, k}, packed, after, {c.data(), m, n});
                CHECK(same_bits(c, want));
                std::vector<float> few(4 * n); // fewer rows than threads: the panels are shared out
                problem{*table, team}({a.data(), 4, k}, packed, {activation::quick_gelu, {residual.data(), 4, n}}, {few.data(), 4, n});
                CHECK(same_bits(few, std::span{want}.first(4 * n)));
            }

            std::size_t const wide = k + 5, apart = n + 3;
            std::vector<float> strided(m * wide + 1), spread(m * apart + 1, -7.0F), result(m * n);
            for (std::size_t i = 0; i < m * k; ++i) strided[1 + i / k * wide + i % k] = a[i];
            problem{*table, serial}({strided.data() + 1, m, k, wide}, packed, after, {spread.data() + 1, m, n, apart});
            for (std::size_t i = 0; i < m * n; ++i) result[i] = spread[1 + i / n * apart + i % n];
            CHECK(same_bits(result, want));
            bool kept = spread[0] == -7.0F;
            for (std::size_t row = 0; row < m; ++row)
                for (std::size_t i = n; i < apart; ++i) kept = kept && spread[1 + row * apart + i] == -7.0F;
            CHECK(kept);
        }
}

// Where a kernel takes long k in slabs, and where it takes any k in one pass and wants no room: known of every table.
TEST_CASE("long k: the same bits with room for partial sums and without, for every number of threads") {
    std::size_t judged = 0;
    for (std::size_t const k : {1280U, 3000U, 3072U, 4609U})
        for (dtype const type : {dtype::f32, dtype::bf16})
            for (kernel_table const* table : tables()) {
                matmul_kernel const& kernel = *table->matmul(type);
                bool const wide = table->level != isa::sse2 && table->level != isa::avx2;
                CHECK((kernel.k_slab != 0) == (wide && kernel.prepare_rows == nullptr));
                CHECK(k > kernel.k_slab);
                std::size_t const n = 2 * kernel.panel_width + 5;
                for (std::size_t const m : {std::size_t{3}, 5 + 2 * (kernel.k_slab != 0 ? kernel.row_block : kernel.row_tile)}) {
                    auto const a = random_floats(m * k, k), w = random_floats(n * k, k + 1), residual = random_floats(m * n, k + 2);
                    packed_matrix const packed{*table, type, matrix_view<float const>{w.data(), n, k}};
                    epilogue const after{activation::quick_gelu, {residual.data(), m, n}};
                    std::size_t const needed = detail::prepared_bytes(packed, m), wanted = matmul_scratch_bytes(packed, m);
                    CHECK(wanted == (kernel.k_slab != 0 ? m * 3 * kernel.panel_width * sizeof(float) : needed));
                    aligned_buffer scratch{std::max(wanted, std::size_t{64})};
                    std::vector<float> one_pass(m * n);
                    serial_executor serial;
                    matmul(*table, serial, {a.data(), m, k}, packed, after, {one_pass.data(), m, n}, {scratch.data(), needed});
                    for (int const threads : {1, 2, 3}) {
                        thread_team team{threads};
                        std::memset(scratch.data(), 0xff, scratch.size()); // NaN: what is there before must not matter
                        std::vector<float> c(m * n);
                        matmul(*table, team, {a.data(), m, k}, packed, after, {c.data(), m, n}, {scratch.data(), scratch.size()});
                        ++judged;
                        CHECK_MESSAGE(same_bits(c, one_pass), name_of(*table) << " " << dtype_name(type) << " M " << m << " K " << k << " threads " << threads);
                    }
                }
            }
    CHECK(judged == 4 * 2 * tables().size() * 2 * 3);
}

TEST_CASE("every activation in a product is that of arrays, bit for bit: any residual, bias, size, type") {
    serial_executor serial;
    std::size_t judged = 0;
    for (activation const act : all_activations())
        for (dtype const type : types)
            for (kernel_table const* table : tables())
                for (std::size_t const m : {1U, 7U, 33U, 67U})
                    for (std::size_t const n : {1U, 5U, 16U, 33U, 97U})
                        for (bool const with_bias : {false, true}) {
                            constexpr std::size_t k = 20;
                            auto const a = normal_floats(m * k, m), w = normal_floats(n * k, n), bias = normal_floats(n, 3), residual = normal_floats(m * n, 4);
                            packed_matrix const packed{*table, type, matrix_view<float const>{w.data(), n, k}, with_bias ? std::span{bias} : std::span<float const>{}};
                            problem run{*table, serial};
                            std::vector<float> want(m * n);
                            run({a.data(), m, k}, packed, {}, {want.data(), m, n});
                            table->of(act).forward(want.data(), want.data(), want.size());
                            std::size_t const apart = n + 3;
                            std::vector<float> plain(m * apart, -7.0F), added(m * apart, -7.0F), in_place(m * apart, -7.0F), wanted_plain = plain, wanted_added = plain;
                            for (std::size_t i = 0; i < m * n; ++i) {
                                std::size_t const at = i / n * apart + i % n;
                                in_place[at] = residual[i];
                                wanted_plain[at] = want[i];
                                wanted_added[at] = want[i] + residual[i];
                            }
                            run({a.data(), m, k}, packed, {.act = act}, {plain.data(), m, n, apart});
                            run({a.data(), m, k}, packed, {act, {residual.data(), m, n}}, {added.data(), m, n, apart});
                            run({a.data(), m, k}, packed, {act, {in_place.data(), m, n, apart}}, {in_place.data(), m, n, apart});
                            ++judged;
                            bool const equal = same_bits(plain, wanted_plain) && same_bits(added, wanted_added) && same_bits(in_place, wanted_added);
                            CHECK_MESSAGE(equal, name_of(*table) << " " << dtype_name(type) << " " << to_string(act) << " " << m << "x" << n);
                        }
    CHECK(judged == activation_count * 3 * tables().size() * 4 * 5 * 2);
}

TEST_CASE("every activation in a product of guarded operands, against the reference") {
    serial_executor serial;
    constexpr std::size_t m = 13, n = 51, k = 40;
    auto const a = normal_floats(m * k, 1), w = random_floats(n * k, 2, -0.3F, 0.3F), bias = normal_floats(n, 3), residual = normal_floats(m * n, 4);
    for (activation const act : all_activations())
        for (kernel_table const* table : tables())
            for (auto const where : {guarded<float>::end::front, guarded<float>::end::back}) {
                packed_matrix const packed{*table, dtype::f32, matrix_view<float const>{w.data(), n, k}, bias};
                guarded<float> from{m * k, where}, to{m * n, where}, added{m * n, where};
                std::copy(a.begin(), a.end(), from.data());
                std::copy(residual.begin(), residual.end(), added.data());
                problem{*table, serial}({from.data(), m, k}, packed, {act, {added.data(), m, n}}, {to.data(), m, n});
                std::vector<double> want(m * n);
                reference::matmul(matrix_view<float const>{a.data(), m, k}, matrix_view<float const>{w.data(), n, k}, matrix_view<double>{want.data(), m, n},
                                  matrix_view<float const>{bias.data(), 1, n}, act, matrix_view<float const>{residual.data(), m, n});
                CHECK(relative_l2(to.span(), want) <= 1e-6);
            }
}

TEST_CASE("K = 0 gives bias and residual, M = 0 and N = 0 nothing") {
    serial_executor serial;
    std::vector<float> const bias{1, 2, 3};
    std::vector<float> const residual{10, 20, 30, 40, 50, 60};
    for (kernel_table const* table : tables())
        for (dtype const type : types) {
            packed_matrix const packed{*table, type, matrix_view<float const>{nullptr, 3, 0}, bias};
            std::vector<float> c(6, -1.0F);
            problem run{*table, serial};
            run({nullptr, 2, 0}, packed, {.residual = {residual.data(), 2, 3}}, {c.data(), 2, 3});
            CHECK(c == std::vector<float>{11, 22, 33, 41, 52, 63});
            packed_matrix const bare{*table, type, matrix_view<float const>{nullptr, 3, 0}};
            run({nullptr, 2, 0}, bare, {}, {c.data(), 2, 3});
            CHECK(c == std::vector<float>(6, 0.0F));
            run({nullptr, 0, 0}, packed, {}, {nullptr, 0, 3});
            packed_matrix const empty{*table, type, matrix_view<float const>{nullptr, 0, 5}};
            run({residual.data(), 1, 5}, empty, {}, {nullptr, 1, 0});
        }
}

TEST_CASE("nothing outside the operands is read or written") {
    serial_executor serial;
    for (kernel_table const* table : tables())
        for (dtype const type : types)
            for (auto const where : {guarded<float>::end::front, guarded<float>::end::back})
                for (std::size_t const m : {1U, 5U, 6U, 13U})
                    for (std::size_t const n : {1U, 7U, 8U, 15U, 17U, 31U, 33U, 49U})
                        for (std::size_t const k : {1U, 2U, 3U, 17U, 64U}) {
                            guarded<float> a{m * k, where}, bias{n, where}, residual{m * n, where}, c{m * n, where};
                            auto const w = int8_rows(n, k, 3);
                            auto const x = int8_rows(m, k, 4);
                            std::copy(x.begin(), x.end(), a.data());
                            std::fill_n(bias.data(), n, 1.0F);
                            std::fill_n(residual.data(), m * n, 2.0F);
                            packed_matrix const packed{*table, type, matrix_view<float const>{w.data(), n, k}, bias.span()};
                            matmul_kernel const& kernel = packed.kernel();
                            // the operands as the kernel sees them: those that end with a cache line may stand at the page's end
                            std::size_t const panel_bytes = packed.panel_count() * kernel.panel_bytes(k);
                            auto const place = panel_bytes % 64 == 0 ? where : guarded<float>::end::front;
                            guarded<float> panels{panel_bytes / 4, place};
                            std::memcpy(panels.data(), packed.panel(0), panel_bytes);
                            guarded<float> scales{n, where}, row_scales{m, where}, prepared{m * kernel.prepared_stride(k) * kernel.activation_bytes / 4, where};
                            matmul_args args{};
                            if (kernel.prepare_rows != nullptr) {
                                kernel.prepare_rows({a.data(), k, m, k, prepared.data(), row_scales.data()});
                                args.a = prepared.data();
                                args.lda = kernel.prepared_stride(k);
                            } else {
                                args.a = a.data();
                                args.lda = k;
                            }
                            if (packed.scales() != nullptr) std::copy_n(packed.scales(), n, scales.data());
                            args.row_scales = row_scales.data();
                            args.panels = panels.data();
                            args.scales = scales.data();
                            args.sums = packed.sums();
                            args.bias = bias.data();
                            args.residual = residual.data();
                            args.ld_residual = n;
                            args.c = c.data();
                            args.ldc = n;
                            args.m = m;
                            args.n = n;
                            args.k = k;
                            kernel.run(args);
                            double want = 3;
                            for (std::size_t i = 0; i < k; ++i) want += static_cast<double>(x[(m - 1) * k + i]) * static_cast<double>(w[(n - 1) * k + i]);
                            CHECK(static_cast<double>(c[m * n - 1]) == want);
                        }
}

TEST_CASE("wrong shapes are refused before anything is written") {
    kernel_table const& table = *tables().front();
    serial_executor serial;
    std::vector<float> const w(12, 1.0F), a(8, 1.0F);
    packed_matrix const packed{table, dtype::f32, matrix_view<float const>{w.data(), 3, 4}};
    packed_matrix const quantised{table, dtype::i8, matrix_view<float const>{w.data(), 3, 4}};
    std::vector<float> c(6, -1.0F);
    CHECK_THROWS_AS(matmul(table, serial, {a.data(), 2, 3}, packed, {}, {c.data(), 2, 3}), precondition_error);
    CHECK_THROWS_AS(matmul(table, serial, {a.data(), 2, 4}, packed, {}, {c.data(), 3, 2}), precondition_error);
    CHECK_THROWS_AS(matmul(table, serial, {a.data(), 2, 4}, packed, {.residual = {a.data(), 2, 2}}, {c.data(), 2, 3}), precondition_error);
    CHECK_THROWS_AS(matmul(table, serial, {a.data(), 2, 4}, quantised, {}, {c.data(), 2, 3}), precondition_error);
    CHECK_THROWS_AS(matmul(table, serial, {a.data(), 2, 4}, packed_matrix{}, {}, {c.data(), 2, 3}), precondition_error);
    CHECK(c == std::vector<float>(6, -1.0F));
    if (tables().size() > 1)
        CHECK_THROWS_AS(matmul(*tables().back(), serial, {a.data(), 2, 4}, packed, {}, {c.data(), 2, 3}), precondition_error);
}

TEST_CASE("what a matmul is given is looked at piece by piece") {
    serial_executor serial;
    std::vector<float> const w(12, 1.0F), a(8, 1.0F);
    std::vector<float> c(6, -1.0F), residual(6, 1.0F);
    for (kernel_table const* table : tables()) {
        packed_matrix const packed{*table, dtype::f32, matrix_view<float const>{w.data(), 3, 4}};
        packed_matrix const bytes{*table, dtype::i8, matrix_view<float const>{w.data(), 3, 4}};
        std::size_t const needed = matmul_scratch_bytes(bytes, 2);
        aligned_buffer scratch{needed + 64};
        auto const refused = [&](char const* sentence, packed_matrix const& weights, matrix_view<float const> x, matrix_view<float const> more, matrix_view<float> y, std::span<std::byte> room) {
            CHECK_THROWS_WITH_AS(matmul(*table, serial, x, weights, {.residual = more}, y, room), sentence, precondition_error);
        };
        matrix_view<float const> const x{a.data(), 2, 4};
        matrix_view<float> const y{c.data(), 2, 3};
        char const* const of_a = "zeroi2v::matmul: a must have as many columns as the weights have inputs";
        char const* const of_c = "zeroi2v::matmul: c must be rows of a by outputs of the weights";
        char const* const of_residual = "zeroi2v::matmul: residual must have the shape of c";
        refused(of_a, packed, {a.data(), 2, 3}, {}, y, {});
        refused(of_c, packed, x, {}, {c.data(), 1, 3}, {});
        refused(of_c, packed, x, {}, {c.data(), 2, 2}, {});
        refused(of_residual, packed, x, {residual.data(), 1, 3}, y, {});
        refused(of_residual, packed, x, {residual.data(), 2, 2}, y, {});
        refused("zeroi2v::matmul: weights must be packed for these kernels", packed_matrix{}, x, {}, y, {});
        refused("zeroi2v::matmul: scratch is too small", bytes, x, {}, y, {scratch.data(), needed - 1});
        refused("zeroi2v::matmul: scratch must be aligned to 64", bytes, x, {}, y, {scratch.data() + 4, needed});
        CHECK(c == std::vector<float>(6, -1.0F));
        for (kernel_table const* other : tables()) {
            if (other == table) continue;
            packed_matrix const foreign{*other, dtype::f32, matrix_view<float const>{w.data(), 3, 4}};
            refused("zeroi2v::matmul: weights must be packed for these kernels", foreign, x, {}, y, {});
        }
        // What a kernel prepares its rows in: their scales, then the rows, each on cache lines of its own.
        matmul_kernel const& kernel = bytes.kernel();
        CHECK(needed == 64 + 2 * kernel.prepared_stride(4) * kernel.activation_bytes);
        CHECK(detail::prepared_bytes(bytes, 17) == 128 + 17 * kernel.prepared_stride(4) * kernel.activation_bytes);
        CHECK(detail::prepared_bytes(packed, 17) == 0);
        CHECK(detail::partial_bytes(packed, 17) == 0);
        matmul(*table, serial, x, bytes, {}, y, {scratch.data(), needed});
        CHECK(c == std::vector<float>(6, 4.0F));
        std::fill(c.begin(), c.end(), -1.0F);
    }
    CHECK_THROWS_WITH_AS(matmul(matrix_view<float const>{a.data(), 2, 4}, packed_matrix{}, {}, matrix_view<float>{c.data(), 2, 3}), "zeroi2v::matmul: weights must be packed", precondition_error);
}
