// One step of a trainer from outside: which tensors move and by how much, what is refused, and what a failed step leaves.
#include "models.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

using namespace zeroi2v;
using namespace zeroi2v::test;

namespace {

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

adapter_layout const shared_layout{shared_sites, 5};

template <class Act>
std::string words_of(Act&& act) {
    try {
        act();
    } catch (error const& fault) {
        return std::string{fault.code_name()} + ": " + fault.what();
    }
    return "nothing thrown";
}

/// The model's name of a tensor says what it is: independent of roles.
bool of_head(std::string const& name) { return name.starts_with("cls_head."); }
bool decaying(std::string const& name) { return name.find("embedding") == std::string::npos && name.find("ln_") == std::string::npos; }

} // namespace

TEST_CASE("a step is AdamW of every tensor that trains: the head at the whole rate, the rest scaled, embeddings and norms without decay") {
    auto const config = small_config();
    batch const data{config, 2, {7}, 1};
    double const lr = 0.05, decay = 0.6, scale = 0.25;
    for (trainable_set const set : {trainable_set::only_adapters(), trainable_set::all()}) {
        trainer training{lively(config, shared_layout, 4),
                         {.trainable = set, .weight_decay = decay, .backbone_lr_scale = scale, .adapter_dropout = 0, .head_dropout = 0, .adam = {0.8, 0.9, 1e-6}, .kernels = &best_kernels()}};
        std::map<std::string, std::vector<double>> p, m, v;
        for (auto const& each : training.trained()) {
            for (float const value : std::as_const(*each.tensor).as<float>()) p[each.name].push_back(static_cast<double>(value));
            m[each.name].resize(each.count);
            v[each.name].resize(each.count);
        }
        std::set<std::pair<bool, bool>> kinds;
        for (std::uint64_t t = 1; t <= 3; ++t) {
            CHECK(training.steps() == t - 1);
            auto const done = training.step(data.clips(), data.labels, lr);
            CHECK(done.step == t - 1);
            for (auto const& each : training.trained()) {
                double const rate = of_head(each.name) ? lr : lr * scale, pull = decaying(each.name) ? decay : 0;
                kinds.insert({of_head(each.name), decaying(each.name)});
                auto const now = std::as_const(*each.tensor).as<float>();
                double worst = 0;
                for (std::size_t i = 0; i < each.count; ++i) {
                    double const g = static_cast<double>(training.gradient()[each.first + i]);
                    double &pi = p[each.name][i], &mi = m[each.name][i], &vi = v[each.name][i];
                    mi = 0.8 * mi + 0.2 * g;
                    vi = 0.9 * vi + 0.1 * g * g;
                    pi = pi * (1 - rate * pull) - rate * mi / (1 - std::pow(0.8, static_cast<double>(t))) / (std::sqrt(vi / (1 - std::pow(0.9, static_cast<double>(t)))) + 1e-6);
                    worst = std::max(worst, std::abs(static_cast<double>(now[i]) - pi));
                }
                CHECK_MESSAGE(worst < 2e-6, each.name);
            }
        }
        CHECK(kinds == std::set<std::pair<bool, bool>>{{true, true}, {false, true}, {false, false}});
    }
}

TEST_CASE("trainable_set: what each set trains, by name") {
    auto const config = small_config();
    auto const names = [&](trainable_set set) {
        auto weights = lively(config, shared_layout, 4);
        std::set<std::string> all;
        for (auto const& each : trained_tensors{weights, set}) all.insert(each.name);
        return all;
    };
    auto weights = lively(config, shared_layout, 4);
    for (int bits = 1; bits < 32; ++bits) {
        trainable_set const set{(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0, (bits & 16) != 0};
        std::set<std::string> wanted;
        for_each_tensor(weights, [&](std::string const& name, stored_tensor&, shape const&, parameter_role) {
            bool const adapter = name.find("Adapter") != std::string::npos, time = name == "backbone.temporal_embedding", post = name.find("ln_post") != std::string::npos;
            if (adapter ? set.adapters : time ? set.temporal_embedding : post ? set.ln_post : of_head(name) ? set.head : set.rest) wanted.insert(name);
        });
        CHECK(names(set) == wanted);
    }
    CHECK(trainable_set::only_adapters() == trainable_set{true, true, true, true, false});
    CHECK(trainable_set::only_head() == trainable_set{false, false, false, true, false});
    CHECK(trainable_set::all() == trainable_set{true, true, true, true, true});
    CHECK(words_of([&] { names({false, false, false, false, false}); }) == "bad_config: trainable: the model has no such tensor, at least one expected");
    for (auto const& [role, pulled] : {std::pair{parameter_role::embedding, false}, {parameter_role::norm_weight, false}, {parameter_role::norm_bias, false}, {parameter_role::weight, true},
                                       {parameter_role::bias, true}, {parameter_role::adapter_in_weight, true}, {parameter_role::adapter_out_weight, true},
                                       {parameter_role::adapter_in_bias, true}, {parameter_role::adapter_out_bias, true}, {parameter_role::head_weight, true}, {parameter_role::head_bias, true}})
        CHECK(decays(role) == pulled);
}

TEST_CASE("trained_tensors: numbered through without a gap, narrow ones widened to the value, frozen ones left") {
    auto const config = small_config();
    auto weights = lively(config, shared_layout, 4);
    for_each_tensor(weights, [&](std::string const& name, stored_tensor& tensor, shape const& sizes, parameter_role) {
        if (name != "backbone.temporal_embedding" && name != "backbone.class_embedding") return;
        stored_tensor narrow{dtype::bf16, sizes};
        for (std::size_t i = 0; i < narrow.count(); ++i) narrow.as<bf16>()[i] = bf16{tensor.as<float>()[i]};
        tensor = std::move(narrow);
    });
    std::vector<double> values;
    for (std::size_t i = 0; i < weights.temporal_embedding.count(); ++i) values.push_back(weights.temporal_embedding.value(i));
    trained_tensors const trained{weights, trainable_set::only_adapters()};
    CHECK(weights.class_embedding.type() == dtype::bf16);
    CHECK(weights.temporal_embedding.type() == dtype::f32);
    for (std::size_t i = 0; i < values.size(); ++i) CHECK(weights.temporal_embedding.value(i) == values[i]);
    std::size_t next = 0;
    for (auto const& each : trained) {
        CHECK(each.first == next);
        CHECK(each.count == each.tensor->count());
        CHECK(trained.first_of(*each.tensor) == next);
        next += each.count;
    }
    CHECK(trained.floats() == next);
    CHECK(trained.first_of(weights.class_embedding) == trained_tensors::none);
    CHECK(trained[trained.size() - 1].name == "cls_head.fc_cls.bias");
}

TEST_CASE("the pieces of a batch: what does not fit is refused, a batch may be begun anew, an ended one is over") {
    auto const config = small_config();
    batch const data{config, 3, {7}, 1};
    std::span<std::int64_t const> const labels{data.labels};
    trainer_options const options{.adapter_dropout = 0.2, .seed = 3, .kernels = &best_kernels()};
    trainer straight{lively(config, shared_layout, 4), options}, training{lively(config, shared_layout, 4), options};
    auto const refused = [](auto&& act) { return words_of(act).starts_with("precondition: "); };
    CHECK(refused([&] { training.add(data.clips(0, 1), labels.first(1)); })); // not begun
    CHECK(refused([&] { training.end(1e-2); }));
    CHECK(refused([&] { training.begin(0); }));
    CHECK(refused([&] { training.add(data.clips(0, 1), labels.first(1)); }));
    training.begin(3);
    CHECK(refused([&] { training.add(data.clips(0, 2), labels.first(1)); }));
    CHECK(refused([&] { training.add(data.clips(0, 1), labels.first(2)); }));
    CHECK(refused([&] { training.step(data.clips(), labels.first(2), 1e-2); }));
    training.begin(3);
    training.add(data.clips(0, 2), labels.first(2));
    CHECK(refused([&] { training.end(1e-2); }));
    CHECK(refused([&] { training.add(data.clips(0, 2), labels.first(2)); })); // four of three
    training.begin(3); // what was added is forgotten
    training.add(data.clips(0, 1), labels.first(1));
    training.add(data.clips(1, 2), labels.subspan(1));
    CHECK(refused([&] { training.add(data.clips(0, 1), labels.first(1)); }));
    CHECK(training.end(1e-2).loss == straight.step(data.clips(), labels, 1e-2).loss);
    CHECK(same(straight, training));
    CHECK(refused([&] { training.end(1e-2); }));
    CHECK(refused([&] { training.add(data.clips(0, 1), labels.first(1)); }));
    CHECK(training.steps() == 1);

    auto const values = data.values.data();
    for (dims<5> const wrong : {dims<5>{1, 3, 3, 12, 12}, dims<5>{1, 4, 2, 12, 12}, dims<5>{1, 4, 3, 11, 12}, dims<5>{1, 4, 3, 12, 11}}) {
        view<float const, 5> const clips{values, wrong};
        training.begin(1);
        CHECK(refused([&] { training.add(clips, labels.first(1)); }));
        CHECK(refused([&] { training.step(clips, labels.first(1), 1e-2); }));
        dynamic_tensor<float, 2> out{std::size_t{1}, std::size_t{7}};
        CHECK(refused([&] { training.logits(clips, out); }));
    }
    for (dims<2> const wrong : {dims<2>{3, 6}, dims<2>{2, 7}, dims<2>{4, 7}}) {
        dynamic_tensor<float, 2> out{wrong};
        CHECK(refused([&] { training.logits(data.clips(), out); }));
    }
    CHECK(same(straight, training));
}

TEST_CASE("after a batch that could not be finished the next one begins clean") {
    auto const config = small_config();
    batch data{config, 3, {7}, 1};
    std::span<std::int64_t const> const labels{data.labels};
    trainer_options const options{.clips_at_once = 1, .kernels = &best_kernels()};
    trainer straight{lively(config, shared_layout, 4), options}, training{lively(config, shared_layout, 4), options};
    auto const refused = [](auto&& act) { return words_of(act).starts_with("precondition: "); };
    auto const state = training.state();
    training.begin(3);
    training.restore(state); // a state that is taken up ends the batch
    CHECK(refused([&] { training.add(data.clips(0, 1), labels.first(1)); }));
    float& value = data.values[config.clip_values() + 3];
    float const was = std::exchange(value, not_a_number);
    training.begin(3);
    training.add(data.clips(0, 1), labels.first(1));
    CHECK(words_of([&] { training.add(data.clips(1, 1), labels.subspan(1, 1)); }) == "nonfinite_loss: step 0: loss of clip 1 of the batch is not finite, finite values expected");
    value = was;
    CHECK(refused([&] { training.add(data.clips(2, 1), labels.subspan(2)); })); // the batch is over
    CHECK(refused([&] { training.end(1e-2); }));
    training.begin(3);
    training.add(data.clips(), labels);
    CHECK(training.end(1e-2).loss == straight.step(data.clips(), labels, 1e-2).loss);
    CHECK(same(straight, training));
}

TEST_CASE("a gradient that is not finite stops the step by its tensor, while the loss is finite") {
    auto const config = small_config();
    batch const data{config, 1, {7}, 1};
    auto const weights = [&] { // features of zero: the head's huge weights show in the gradient alone
        auto result = lively(config, shared_layout, 4);
        for (auto* tensor : {&result.ln_post.weight, &result.ln_post.bias}) std::ranges::fill(tensor->as<float>(), 0.0F);
        std::ranges::fill(result.fc_cls.weight.as<float>().first(24), 3e38F);
        std::ranges::fill(result.fc_cls.weight.as<float>().subspan(24, 24), -3e38F);
        return result;
    };
    trainer training{weights(), {.trainable = {false, false, true, true, false}, .head_dropout = 0, .kernels = &best_kernels()}};
    auto const before = training.state();
    training.begin(1);
    training.add(data.clips(), data.labels);
    CHECK(words_of([&] { training.end(1e-3); }) == "nonfinite_loss: step 0: gradient of backbone.ln_post.weight is not finite, finite values expected");
    CHECK(words_of([&] { training.end(1e-3); }).starts_with("precondition: "));
    CHECK(training.steps() == 0);
    auto const after = training.state();
    REQUIRE(after.tensors.size() == before.tensors.size());
    for (std::size_t i = 0; i < after.tensors.size(); ++i)
        CHECK(std::ranges::equal(after.tensors[i].second.bytes(), before.tensors[i].second.bytes()));
}

TEST_CASE("a state that does not fit is refused by the tensor's name, and changes nothing") {
    auto const config = small_config();
    batch const data{config, 1, {7}, 1};
    trainer training{lively(config, shared_layout, 4), {.kernels = &best_kernels()}}, twin{lively(config, shared_layout, 4), {.kernels = &best_kernels()}};
    training.step(data.clips(), data.labels, 1e-3);
    twin.step(data.clips(), data.labels, 1e-3);
    auto const good = training.state();
    CHECK(good.step == 1);
    std::size_t refusals = 0;
    for (std::string const prefix : {"", "adam.m.", "adam.v."})
        for (auto const& each : training.trained()) {
            if (each.name != "cls_head.fc_cls.bias" && each.name != "backbone.temporal_embedding") continue;
            std::string const name = prefix + each.name, sizes = to_string(each.tensor->sizes());
            for (int fault = 0; fault < 5; ++fault) {
                training_state bad{5, {}};
                for (auto const& [stored, tensor] : good.tensors) {
                    if (stored != name) {
                        bad.tensors.emplace_back(stored, tensor.clone());
                        continue;
                    }
                    if (fault == 0) bad.tensors.emplace_back(stored, stored_tensor::zeros(dtype::f16, tensor.sizes()));
                    if (fault == 1) bad.tensors.emplace_back(stored, stored_tensor::zeros(dtype::f32, shape{tensor.count(), 1}));
                    if (fault == 2) bad.tensors.emplace_back(stored + "x", tensor.clone());
                    if (fault == 3) bad.tensors.emplace_back(stored, stored_tensor::zeros(dtype::f64, tensor.sizes()));
                    if (fault == 4) {
                        bad.tensors.emplace_back(stored, tensor.clone());
                        bad.tensors.emplace_back("more", tensor.clone());
                    }
                }
                std::string const count = std::to_string(good.tensors.size());
                std::string const wanted = fault == 0   ? "tensor " + name + ": F16 " + sizes + " found, F32 " + sizes + " expected"
                                           : fault == 1 ? "tensor " + name + ": F32 (" + std::to_string(each.count) + ",1) found, F32 " + sizes + " expected"
                                           : fault == 2 ? "tensor " + name + ": not found"
                                           : fault == 3 ? "tensor " + name + ": F64 " + sizes + " found, F32 " + sizes + " expected"
                                                        : std::to_string(good.tensors.size() + 1) + " tensors found, " + count + " expected";
                CHECK(words_of([&] { training.restore(bad); }) == "bad_state: state: " + wanted);
                CHECK(training.steps() == 1);
                ++refusals;
            }
        }
    CHECK(refusals == 30);
    training.step(data.clips(), data.labels, 1e-3); // moments too are as before
    twin.step(data.clips(), data.labels, 1e-3);
    CHECK(same(training, twin));
}

TEST_CASE("label groups that do not make up the classes are refused, whichever it is") {
    auto const config = small_config();
    auto const making = [&](std::vector<std::size_t> groups) { return words_of([&] { trainer{lively(config, shared_layout, 1), {.label_groups = groups, .kernels = &best_kernels()}}; }); };
    for (auto const& wrong : {std::vector<std::size_t>{3, 3}, {7, 0}, {0, 7}, {8}, {3, 5}, {std::numeric_limits<std::size_t>::max(), 8}})
        CHECK(making(wrong) == "bad_config: label_groups: their classes must be at least 1 each and 7 together, as the model has");
    CHECK(making({}) == "nothing thrown");
    CHECK(making({3, 4}) == "nothing thrown");
    CHECK(making({7}) == "nothing thrown");
    trainer const whole{lively(config, shared_layout, 1), {.kernels = &best_kernels()}};
    CHECK(whole.options().label_groups == std::vector<std::size_t>{7});
}

TEST_CASE("memory(): each part is what it is made of") {
    auto const config = small_config();
    for (trainable_set const set : {trainable_set::only_adapters(), trainable_set::all(), trainable_set::only_head()})
        for (bool const recompute : {false, true})
            for (std::size_t const at_once : {1U, 3U}) {
                trainer training{lively(config, shared_layout, 4), {.trainable = set, .recompute = recompute, .threads = 2, .clips_at_once = at_once, .kernels = &best_kernels()}};
                std::size_t bytes = 0, trained = 0;
                for_each_tensor(training.weights(), [&](std::string const& name, stored_tensor const& tensor, shape const& sizes, parameter_role role) {
                    bytes += sizes.count() * 4;
                    trained += set.contains(name, role) ? tensor.count() : 0;
                });
                for (std::size_t const batch : {0U, 1U, 2U, 8U}) {
                    auto const found = training.memory(batch);
                    CHECK(found.weights == bytes);
                    CHECK(found.optimizer == 8 * trained);
                    CHECK(found.gradients == gradient_tree::buffers(std::max<std::size_t>(batch, 1), at_once) * 4 * trained);
                    CHECK(found.total() == found.weights + found.packed + found.optimizer + found.gradients + found.activations);
                }
                // A model of its own, packed: the sizes that memory() says beforehand.
                auto weights = lively(config, shared_layout, 4);
                trained_tensors const tensors{weights, set};
                training_model model{weights, tensors, best_kernels()};
                auto const planned = model.bytes();
                CHECK(training.memory(1).packed == planned);
                model.pack();
                std::size_t packed = 0;
                auto const count = [&](training_linear const& linear) {
                    packed += linear.forward.byte_size() + linear.backward.byte_size();
                    if (!linear.forward.has_bias()) packed += 4 * linear.out(); // planned for every layer
                    CHECK(linear.backward.empty() != linear.passes_gradient());
                };
                count(model.patch);
                count(model.head);
                for (auto const& block : model.blocks) {
                    for (auto const& part : block.in_proj) count(part.linear);
                    CHECK(block.adapters().size() == 4);
                    for (training_adapter const& adapter : block.adapters()) {
                        count(adapter.down);
                        count(adapter.up);
                    }
                    for (auto const* linear : {&block.out_proj, &block.c_fc, &block.c_proj}) count(*linear);
                }
                CHECK(packed == planned);
                CHECK(training.memory(1).activations == at_once * clip_pass::bytes(model, at_once == 1 ? 2 : 1, recompute));
            }
}

TEST_CASE("clips_at_once: as many as threads where clips are small, one where they are large, or as stated") {
    auto const lanes = [](vit_config const& config, std::size_t threads, std::size_t stated) {
        return trainer{lively(config, shared_layout, 1), {.threads = threads, .clips_at_once = stated, .kernels = &best_kernels()}}.clips_at_once();
    };
    CHECK(lanes(small_config(), 3, 0) == 3);
    CHECK(lanes(small_config(), 3, 2) == 2);
    CHECK(lanes(small_config(), 1, 5) == 5);
    CHECK(lanes(small_config(), 0, 0) == 1);
    vit_config const large{{.image_size = 64, .patch_size = 4, .frames = 16, .width = 64, .layers = 4, .heads = 4, .mlp_width = 256, .classes = 7}, frame_map<>{4}, 0.5};
    CHECK(lanes(large, 3, 0) == 1);
    CHECK(lanes(large, 3, 2) == 2);
}

TEST_CASE("without_adapters: every tensor of a merged model, in its place") {
    auto const config = small_config();
    auto merged = random_weights<no_adapters>(config, adapter_layout::none(), {.seed = 3});
    std::map<std::string, std::vector<std::byte>> wanted;
    for_each_tensor(merged, [&](std::string const& name, stored_tensor const& tensor, shape const&, parameter_role) { wanted[name] = {tensor.bytes().begin(), tensor.bytes().end()}; });
    auto const weights = without_adapters(std::move(merged));
    CHECK(weights.layout == adapter_layout::none());
    CHECK(weights.config.classes() == 7);
    std::size_t seen = 0;
    for_each_tensor(weights, [&](std::string const& name, stored_tensor const& tensor, shape const& sizes, parameter_role) {
        ++seen;
        CHECK(tensor.sizes() == sizes);
        CHECK_MESSAGE(std::ranges::equal(tensor.bytes(), wanted.at(name)), name);
    });
    CHECK(seen == wanted.size());
}

TEST_CASE("arena: pieces of 64 bytes one after the other, a plan and its memory alike, and no overflow") {
    arena plan;
    CHECK(plan.floats(1) == nullptr);
    CHECK(plan.used() == 64);
    CHECK(plan.doubles(8) == nullptr);
    CHECK(plan.used() == 128);
    static_cast<void>(plan.floats(0));
    CHECK(plan.used() == 128);
    static_cast<void>(plan.floats(17));
    CHECK(plan.used() == 256);
    alignas(64) std::byte memory[256];
    arena from{memory};
    CHECK(static_cast<void*>(from.floats(1)) == memory);
    CHECK(static_cast<void*>(from.doubles(8)) == memory + 64);
    CHECK(static_cast<void*>(from.floats(17)) == memory + 128);
    CHECK(from.used() == 256);
    std::size_t const most = std::numeric_limits<std::size_t>::max();
    for (std::size_t const count : {most, most / 4 + 1, most / 4, (most - 256) / 4 + 1})
        CHECK(words_of([&] { static_cast<void>(plan.floats(count)); }) == "bad_config: training: the number of bytes of activations overflows");
    CHECK(plan.used() == 256);
}
