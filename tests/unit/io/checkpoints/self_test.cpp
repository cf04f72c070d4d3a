#include <zeroi2v/io/checkpoints/self_test.hpp>

#include "../temporary_folder.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/checkpoint.hpp>
#include <zeroi2v/io/checkpoints/config_json.hpp>
#include <zeroi2v/io/checkpoints/vit_io.hpp>
#include <zeroi2v/io/checkpoints/vit_metadata.hpp>
#include <zeroi2v/model/init.hpp>
#include <zeroi2v/model/merge.hpp>
#include <zeroi2v/model/stated_config.hpp>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace zeroi2v;

namespace {

/// One block of width 8, 3 frames, 5 classes.
vit_config small_config() {
    return complete({.source = "test", .image_size = 8, .patch_size = 4, .frames = 3, .width = 8, .layers = 1, .heads = 2, .mlp_width = 16,
                     .classes = 5, .adapter_scale = 0.5, .head_offsets = std::vector<int>{-1, 0}}, true);
}

/// A merged model, and what its file keeps.
struct fixture {
    test::temporary_folder here;
    vit_config config = small_config();
    merged_model merged = merge(random_weights<with_adapters>(config, default_adapters(config.width()), {.seed = 3, .adapters = adapter_init::random}));

    [[nodiscard]] nlohmann::json document() const { return {{"seed", merged.proof.probe.seed}, {"logits", merged.proof.probe.logits}}; }

    /// The self-test of a file that keeps this text, or nothing: its error, or none where it passes.
    [[nodiscard]] std::optional<std::pair<error_code, std::string>> outcome(std::optional<std::string> const& kept, engine_options options = {}) const {
        file_metadata metadata{{metadata_key::config, to_json(stated_by(config)).dump()}};
        if (kept) metadata.emplace(metadata_key::self_test, *kept);
        save_vit(here / "m.safetensors", merged.model, {.metadata = metadata});
        auto const file = load_checkpoint(here / "m.safetensors");
        try {
            auto const result = zeroi2v::self_test(vit_file{file}, options);
            CHECK(result.max_abs <= result.tolerance);
            CHECK(result.tolerance >= 1e-4);
        } catch (error const& caught) {
            return std::pair{caught.code(), std::string{caught.what()}};
        }
        return std::nullopt;
    }
    [[nodiscard]] bool fails(std::optional<std::string> const& kept, std::string const& sentence) const {
        auto const found = outcome(kept);
        return found && found->first == error_code::self_test_failed && found->second.find(sentence) != std::string::npos
               && found->second.find("m.safetensors: self-test: ") != std::string::npos;
    }
};

} // namespace

TEST_CASE("a model proves itself by the logits that its file keeps") {
    fixture const f;
    CHECK(!f.outcome(f.document().dump()));
    CHECK(!f.outcome(f.document().dump(), {.threads = 3}));
}

TEST_CASE("one logit that is off fails, whichever it is and whatever its sign") {
    fixture const f;
    for (std::size_t k = 0; k < f.config.classes(); ++k) {
        auto changed = f.document();
        changed["logits"][k] = changed["logits"][k].get<double>() + (k % 2 == 0 ? 0.01 : -0.01);
        CHECK(f.fails(changed.dump(), "logit " + std::to_string(k) + " is"));
    }
    auto negated = f.document();
    for (auto& each : negated["logits"]) each = -each.get<double>();
    CHECK(f.fails(negated.dump(), "logit"));
    auto far = f.document();
    far["logits"][0] = -1e300;
    auto const found = f.outcome(far.dump());
    REQUIRE(found);
    CHECK(found->second.find("-1e+300 expected") != std::string::npos);
}

TEST_CASE("a self-test that is none fails") {
    fixture const f;
    CHECK(f.fails(std::nullopt, "the file has none"));
    for (std::string const text : {"{}", R"({"seed":1})", R"({"logits":[0,0,0,0,0]})", R"({"seed":-1,"logits":[0,0,0,0,0]})", R"({"seed":1.5,"logits":[0,0,0,0,0]})",
                                   R"({"seed":1,"logits":5})", R"({"seed":1,"logits":[0,0,0,0,"0"]})", R"({"seed":1,"logits":[0,0,0,0,null]})"}) {
        CAPTURE(text);
        CHECK(f.fails(text, "a seed and a list of logits expected"));
    }
    CHECK(f.fails(R"({"seed":1,"logits":[0,0,0,0]})", "4 logits found, 5 expected"));
    CHECK(f.fails(R"({"seed":1,"logits":[]})", "0 logits found"));
    auto many = f.document();
    for (int i = 0; i < 70'000; ++i) many["logits"].push_back(0);
    CHECK(f.outcome(many.dump())->first == error_code::bad_config);
    CHECK(f.outcome(f.document().dump() + std::string(1'100'000, ' '))->first == error_code::bad_config);
    CHECK(f.outcome("{")->first == error_code::bad_json);
    CHECK(f.outcome("[]")->first == error_code::bad_config);
}
