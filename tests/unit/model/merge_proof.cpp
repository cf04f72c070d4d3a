// merge_proof: tolerances and their limits, and the texts.
#include <zeroi2v/model/merge_proof.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>

using namespace zeroi2v;

TEST_CASE("digits and tolerances of the types of merged tensors") {
    CHECK((precision_of(dtype::bf16) == 8 && precision_of(dtype::f16) == 11 && precision_of(dtype::f32) == 24));
    auto const is = [](dtype type, double relative_l2, double max_abs) {
        return merge_tolerance(type).relative_l2 == relative_l2 && merge_tolerance(type).max_abs == max_abs;
    };
    CHECK(is(dtype::f32, 5e-6, 2e-5));
    CHECK(is(dtype::f16, 2e-3, 4e-3));
    CHECK(is(dtype::bf16, 1e-2, 2e-2));
}

TEST_CASE("a probe holds up to both tolerances, and where nothing is NaN or infinite") {
    double const nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
    for (dtype const type : {dtype::f32, dtype::f16, dtype::bf16}) {
        equivalence_tolerance const limit = merge_tolerance(type);
        double const largest = 8, most = limit.max_abs * largest;
        auto const holds = [&](double relative_l2, double max_abs) { return probe_proof{.max_abs = max_abs, .relative_l2 = relative_l2, .largest_logit = largest, .tolerance = limit}.holds(); };
        CHECK(holds(limit.relative_l2, most));
        CHECK_FALSE(holds(std::nextafter(limit.relative_l2, 1.0), most));
        CHECK_FALSE(holds(limit.relative_l2, std::nextafter(most, 1.0)));
        CHECK(holds(0, 0));
        for (double const bad : {nan, infinity}) {
            CHECK_FALSE(holds(bad, 0));
            CHECK_FALSE(holds(0, bad));
        }
    }
    CHECK_FALSE(probe_proof{.max_abs = infinity, .relative_l2 = 0, .largest_logit = infinity, .tolerance = merge_tolerance(dtype::f32)}.holds());
}

TEST_CASE("the texts of a proof") {
    merge_proof proof;
    CHECK(proof.max_ulp() == 0);
    proof.layers.push_back({"resblocks.0.attn.in_proj", "T_Adapter_in", dtype::f32, {.share_unchanged = 0.25, .max_ulp = 0.5}});
    proof.layers.push_back({"resblocks.11.mlp.c_proj", "MLP_Adapter_out", dtype::bf16, {.share_unchanged = 0, .max_ulp = 0.125}});
    CHECK(proof.max_ulp() == 0.5);
    proof.probe = {.seed = 7, .max_abs = 0.001, .relative_l2 = 0.0002, .largest_logit = 2, .tolerance = merge_tolerance(dtype::bf16)};
    CHECK(to_string(proof.probe) == "logits differ by 0.0002 (relative L2, at most 0.01) and 0.001 (largest, at most 0.04)");
    CHECK(to_text(proof) == "linear                          adapter                  dtype  max ulp  unchanged\n"
                            "resblocks.0.attn.in_proj        T_Adapter_in             F32     0.5000   25.0000%\n"
                            "resblocks.11.mlp.c_proj         MLP_Adapter_out          BF16    0.1250    0.0000%\n"
                            "probe clip (seed 7): logits differ by 0.0002 (relative L2, at most 0.01) and 0.001 (largest, at most 0.04)\n");
}
