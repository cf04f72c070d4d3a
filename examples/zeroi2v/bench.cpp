// bench: the plain image ViT, the adapted and the merged video ViT side by side, against the machine's own limit.
#include "answers.hpp"
#include "clips.hpp"
#include "commands.hpp"
#include "cpu_runner.hpp"
#include "cuda_runner.hpp"
#include "model_source.hpp"
#include "options.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/checkpoints/config_json.hpp>
#include <zeroi2v/model/init.hpp>
#include <zeroi2v/model/input_config.hpp>
#include <zeroi2v/model/merge.hpp>
#include <zeroi2v/model/op_flops.hpp>
#include <zeroi2v/model/vit_engine.hpp>
#include <zeroi2v/parallel/thread_team.hpp>
#include <zeroi2v/stdha/frame_map.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace zeroi2v::program {
namespace {

enum class variant { plain, adapted, merged };
constexpr std::array variants{variant::plain, variant::adapted, variant::merged};
constexpr std::array<char const*, 3> variant_names{"plain", "adapted", "merged"};

/// Where the weights come from: a file, or the generator.
struct material {
    vit_config config;                 ///< with an adapter scale
    adapter_layout layout;             ///< of the adapted model
    std::optional<opened_model> model; ///< none: random weights
};

material material_of(arguments const& typed, model_options const& choice, console const& out) {
    auto const path = typed.operand(0);
    if (!path) {
        if (!choice.stated) throw model_error{error_code::bad_config, "bench: no model is stated: give a checkpoint, --preset or --config"};
        auto const config = complete(*choice.stated, true);
        return {config, default_adapters(config.width()), std::nullopt};
    }
    auto model = open_model(*path, choice, tolerance_options{typed}, out);
    auto config = model.config;
    auto layout = model.file->layout();
    if (!model.file->has_adapters()) {
        out.notice(model.file->name() + ": has no adapters; the adapted model gets fresh ones");
        config = vit_config{config.sizes(), config.map(), 1.0};
        layout = default_adapters(config.width());
    }
    return {std::move(config), layout, std::move(model)};
}

/// The same sizes with a map of all zeros: an image model on every frame.
vit_config image_config(vit_config const& c) { return {c.sizes(), frame_map<>{c.heads()}, std::nullopt}; }

/// The tensors of the visitor's list that the file, or the generator, has.
template <class Adapters>
vit_weights<Adapters> weights_of(material const& m, vit_config config, adapter_layout layout) {
    vit_weights<Adapters> weights{std::move(config), layout};
    if (m.model)
        for_each_tensor(weights, [&](std::string const& name, stored_tensor& tensor, shape const& expected, parameter_role) {
            auto const& file = *m.model->file;
            if (file.shapes().find(name) == nullptr) return; // fresh adapters
            file.require_fit(name, expected);
            tensor = file.source().read(name);
            require_sound_weight(file.name(), name, tensor, m.model->tolerance);
        });
    draw_missing(weights, {.seed = 0, .adapters = adapter_init::random});
    return weights;
}
adapted_vit adapted_weights(material const& m) { return weights_of<with_adapters>(m, m.config, m.layout); }
merged_vit base_weights(material const& m, vit_config config) { return weights_of<no_adapters>(m, std::move(config), adapter_layout::none()); }

/// One packed model, ready to be timed.
class contestant {
public:
    template <class Weights> // of either kind, to be freed or to be kept
    contestant(Weights&& weights, run_options const& run) : logits_(weights.config.classes()) {
        if (run.device == device_kind::cuda) {
            runner_ = cuda_runner_of(weights, run.type);
            return;
        }
        engine_options const options{.dtype = run.type, .threads = run.threads, .kernels = run.kernels};
        auto runner = std::make_unique<cpu_runner>(vit_engine{std::forward<Weights>(weights), options});
        on_cpu_ = runner.get();
        runner_ = std::move(runner);
    }

    double seconds(view<float const, 4> clip) {
        stopwatch const clock;
        runner_->forward(view<float const, 5>{clip.data(), std::size_t{1}, clip.extent(0), clip.extent(1), clip.extent(2), clip.extent(3)},
                         view<float, 2>{logits_.data(), std::size_t{1}, logits_.size()});
        return clock.seconds();
    }

    /// The same with the seconds of every group of operations, those of the threads added up; on the CPU only.
    std::pair<double, per_op_group> profile(view<float const, 4> clip) {
        on_cpu_->measure();
        double const wall = seconds(clip);
        return {wall, on_cpu_->times()};
    }
    [[nodiscard]] std::size_t threads() const noexcept { return on_cpu_->threads(); } ///< on the CPU only
    [[nodiscard]] model_runner const& runner() const noexcept { return *runner_; }
    /// Of the last forward.
    [[nodiscard]] std::vector<float> const& logits() const noexcept { return logits_; }

private:
    std::unique_ptr<model_runner> runner_;
    cpu_runner* on_cpu_ = nullptr;
    std::vector<float> logits_;
};

/// The peak memory of a process that does nothing but answer once with one variant. Runs before this process has threads or
/// large memory of its own. Merged weights have the sizes of the base's, so the child need not merge: it loads those alone.
std::optional<std::size_t> peak_rss(variant which, material const& m, run_options const& run) {
    ::pid_t const parent = ::getpid();
    ::pid_t const child = ::fork();
    if (child < 0) return std::nullopt;
    if (child == 0) {
        // it dies with its parent, also where that died before the wish was uttered
        if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != parent) ::_exit(1);
        try {
            std::optional<contestant> answering;
            if (which == variant::adapted) answering.emplace(adapted_weights(m), run);
            else answering.emplace(base_weights(m, which == variant::plain ? image_config(m.config) : m.config.without_adapter_scale()), run);
            answering->seconds(random_clip(m.config, 0));
        } catch (...) {
            ::_exit(1);
        }
        ::_exit(0);
    }
    int status = 0;
    struct ::rusage used {};
    while (::wait4(child, &status, 0, &used) < 0)
        if (errno != EINTR) return std::nullopt;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return std::nullopt;
    return static_cast<std::size_t>(used.ru_maxrss) * 1024; // Linux counts in KiB
}

/// Register-only FMAs or dot products on all threads, GFLOP/s.
class register_limit {
public:
    register_limit(std::size_t (*loop)(std::size_t iterations) noexcept, std::size_t threads) : loop_{loop}, team_{static_cast<int>(threads)} {
        while (iterations_ < (std::size_t{1} << 40U)) { // until one measurement lasts 20 ms
            stopwatch const clock;
            loop_(iterations_);
            if (clock.seconds() > 0.02) break;
            iterations_ *= 2;
        }
    }

    void measure() {
        std::atomic<std::size_t> flops{0};
        stopwatch const clock;
        team_.run(team_.concurrency(), [&](int) { flops += loop_(iterations_); });
        best_ = std::max(best_, static_cast<double>(flops.load()) / clock.seconds() * 1e-9);
    }
    [[nodiscard]] double best() const noexcept { return best_; }

private:
    std::size_t (*loop_)(std::size_t iterations) noexcept;
    thread_team team_;
    std::size_t iterations_ = 1024;
    double best_ = 0;
};

double median(std::vector<double> values) {
    std::ranges::sort(values);
    std::size_t const middle = values.size() / 2;
    return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

/// One forward of the merged model on the CPU, group by group.
struct forward_profile {
    double seconds = 0;        ///< wall
    per_op_group thread_times; ///< seconds of all threads
    std::size_t threads = 1;
};

/// What narrower weights cost: logits against those of f32.
struct dtype_loss {
    std::size_t clips = 0, same_top1 = 0;
    std::vector<double> relative_l2{}; ///< of each clip
};

struct measurement {
    std::array<std::vector<double>, 3> seconds{};
    run_options run;         ///< how it came about
    std::string description; ///< of the merged model's runner
    std::array<std::optional<std::size_t>, 3> peak_rss{};    ///< of a process, on the CPU
    std::array<std::optional<std::size_t>, 3> device_bytes{}; ///< weights and activations on a CUDA device
    double fma_limit = 0, dot_limit = 0;                     ///< operations per second on the CPU; the latter of what multiplies the weights
    forward_profile profile{};                               ///< the fastest of some forwards, on the CPU
    dtype_loss loss{};                                       ///< of the merged model
};

struct bench_options {
    std::size_t repetitions = 5;
    std::size_t loss_clips = 0;
};

dtype_loss compare_logits(contestant& narrow, contestant& exact, vit_config const& config, std::size_t clips) {
    dtype_loss result{.clips = clips};
    for (std::size_t i = 0; i < clips; ++i) {
        auto const clip = random_clip(config, 1 + i);
        narrow.seconds(clip);
        exact.seconds(clip);
        auto const &found = narrow.logits(), &expected = exact.logits();
        for (auto const* logits : {&found, &expected}) require_finite(view<float const, 2>{logits->data(), 1, logits->size()}, "bench: clip " + std::to_string(i));
        double difference = 0, norm = 0;
        for (std::size_t k = 0; k < found.size(); ++k) {
            double const e = static_cast<double>(expected[k]), d = static_cast<double>(found[k]) - e;
            difference += d * d;
            norm += e * e;
        }
        result.relative_l2.push_back(difference == 0 ? 0 : std::sqrt(difference / norm));
        if (std::ranges::max_element(found) - found.begin() == std::ranges::max_element(expected) - expected.begin()) ++result.same_top1;
    }
    return result;
}

/// The three models, and the merged one in f32 where its answers are compared.
struct line_up {
    run_options run;
    std::vector<contestant> contestants{};
    std::optional<contestant> exact{};
};

line_up line_up_of(material const& m, run_options const& run, bench_options const& options, progress& shown) {
    line_up result{.run = run};
    auto& all = result.contestants;
    all.emplace_back(base_weights(m, image_config(m.config)), run);
    shown.step(1);
    auto adapted = adapted_weights(m);
    bool const to_merge = !m.model || m.model->file->has_adapters();
    auto merged = to_merge ? merge(adapted, {.threads = run.threads, .kernels = run.kernels}).model : base_weights(m, m.config.without_adapter_scale());
    all.emplace_back(std::move(adapted), run);
    shown.step(2);
    if (options.loss_clips > 0) {
        run_options in_f32 = run;
        in_f32.type = dtype::f32;
        result.exact.emplace(std::as_const(merged), in_f32);
    }
    all.emplace_back(std::move(merged), run);
    shown.step(3);
    return result;
}

measurement measure(material const& m, run_options const& wanted, bench_options const& options, console const& out) {
    std::size_t const repetitions = options.repetitions;
    std::array<std::optional<std::size_t>, 3> peaks{};
    if (wanted.device == device_kind::cpu) // no child of a process that has started CUDA
        for (auto const which : variants) peaks[static_cast<std::size_t>(which)] = peak_rss(which, m, wanted);
    progress shown{out, "bench", 3 + repetitions};
    auto [run, contestants, exact] = start_on_device(wanted, out, [&](run_options const& where) { return line_up_of(m, where, options, shown); });
    bool const on_cpu = run.device == device_kind::cpu;
    measurement result{.run = run, .description = contestants.back().runner().description(), .peak_rss = peaks};
    std::size_t done = 3;
    auto const clip = random_clip(m.config, 0);
    auto const dot_loop = on_cpu ? run.kernels->matmul(run.type)->dot_loop : nullptr;
    std::optional<register_limit> fma, dot;
    if (on_cpu) fma.emplace(run.kernels->fma_loop, run.threads);
    if (dot_loop != nullptr) dot.emplace(dot_loop, run.threads);
    auto const measure_limits = [&] {
        if (fma) fma->measure();
        if (dot) dot->measure();
    };
    for (auto& each : contestants) each.seconds(clip); // warm
    for (std::size_t r = 0; r < repetitions; ++r) {
        for (std::size_t i = 0; i < contestants.size(); ++i) {
            std::size_t const which = r % 2 == 0 ? i : contestants.size() - 1 - i; // nobody is always first
            measure_limits();
            result.seconds[which].push_back(contestants[which].seconds(clip));
        }
        measure_limits();
        shown.step(++done);
    }
    if (on_cpu) {
        result.fma_limit = fma->best();
        result.dot_limit = dot ? dot->best() : result.fma_limit;
        for (std::size_t r = 0; r < std::min<std::size_t>(repetitions, 3); ++r) {
            auto const [seconds, times] = contestants.back().profile(clip);
            if (r == 0 || seconds < result.profile.seconds) result.profile = {seconds, times, contestants.back().threads()};
        }
    } else
        for (std::size_t i = 0; i < contestants.size(); ++i) result.device_bytes[i] = contestants[i].runner().bytes();
    if (exact) result.loss = compare_logits(contestants.back(), *exact, m.config, options.loss_clips);
    return result;
}

/// Decoding and preprocessing of one view.
std::pair<double, double> time_video(std::filesystem::path const& path, input_config input, vit_config const& c, video_options const& decoding, run_options const& run, console const& out) {
    input.clips = input.crops = 1;
    auto const video = read_video(path, input, c.frames(), c.image_size(), decoding, run.threads, out);
    return {video.decode_seconds, video.preprocess_seconds};
}

std::string cell(std::string const& text, std::size_t width) { return std::string(width - std::min(width, text.size()), ' ') + text; }
std::string left(std::string text, std::size_t width) {
    text.append(width - std::min(width, text.size()), ' ');
    return text;
}

/// A count of 10^9 operations with three digits or more.
std::string gflop_text(double gflop) { return fixed(gflop, gflop < 0.1 ? 5 : gflop < 10 ? 3 : 1); }

json_value document_of(stated_config const& stated, measurement const& result, double gflop) {
    using json = json_value;
    auto const& run = result.run;
    auto const three = [](std::array<std::optional<std::size_t>, 3> const& values) {
        json object;
        for (std::size_t i = 0; i < 3; ++i) object.set(variant_names[i], values[i]);
        return object;
    };
    bool const on_cpu = run.device == device_kind::cpu;
    auto const limit = [on_cpu](double value) { return on_cpu ? json{value} : json{}; };
    auto document = json::object({{"config", to_json(stated)}, {"isa", to_string(run.kernels->level)}, {"threads", run.threads},
            {"dtype", to_option(run.type)}, {"gflop", gflop}, {"fma_limit_gflops", limit(result.fma_limit)}, {"dot_limit_gflops", limit(result.dot_limit)},
            {"plain_s", result.seconds[0]}, {"adapted_s", result.seconds[1]}, {"merged_s", result.seconds[2]},
            {"peak_rss_bytes", three(result.peak_rss)}});
    if (run.tells_device) {
        document.set("device", to_string(run.device));
        document.set("runs_on", result.description);
        document.set("device_bytes", three(result.device_bytes));
    }
    return document;
}

std::string variants_text(measurement const& result, double gflop) {
    bool const on_cpu = result.run.device == device_kind::cpu;
    std::string text = gflop_text(gflop) + " GFLOP per clip, " + result.description;
    if (on_cpu) {
        text += "; FMA limit " + fixed(result.fma_limit, 1) + " GFLOP/s, ";
        if (result.run.kernels->matmul(result.run.type)->dot_loop != nullptr)
            text += std::string{to_option(result.run.type)} + " dot product limit " + fixed(result.dot_limit, 1) + " GFLOP/s, ";
        text += fixed(gflop / result.dot_limit, 4) + " s per clip";
    }
    text += std::string{"\n             best s  median s  GFLOP/s"} + (on_cpu ? "  of the limit  peak memory\n" : "  device memory\n");
    auto const best = [&](std::size_t i) { return *std::ranges::min_element(result.seconds[i]); };
    auto const memory = [](std::optional<std::size_t> bytes) { return bytes ? bytes_text(static_cast<double>(*bytes)) : std::string{"?"}; };
    for (std::size_t i = 0; i < 3; ++i) {
        text += left(variant_names[i], 9) + cell(fixed(best(i), 4), 10) + cell(fixed(median(result.seconds[i]), 4), 10) + cell(fixed(gflop / best(i), 1), 9);
        if (on_cpu) text += cell(fixed(100 * gflop / best(i) / result.dot_limit, 1) + " %", 14) + cell(memory(result.peak_rss[i]), 13) + "\n";
        else text += cell(memory(result.device_bytes[i]), 15) + "\n";
    }
    for (std::size_t const i : {2U, 1U})
        text += left(std::string{variant_names[i]} + "/plain", 14) + fixed(best(i) / best(0), 4) + " (best), " + fixed(median(result.seconds[i]) / median(result.seconds[0]), 4) + " (median)\n";
    if (!on_cpu) return text;
    return text + left("merged/limit", 14) + fixed(best(2) * result.dot_limit / gflop, 4) + " (best), " + fixed(median(result.seconds[2]) * result.dot_limit / gflop, 4) + " (median)\n";
}

/// The Linears of the blocks multiply in the type of --dtype, everything else in float.
double limit_of(op_group group, measurement const& result) noexcept {
    bool const linear = group == op_group::qkv || group == op_group::proj || group == op_group::mlp || group == op_group::adapters;
    return linear ? result.dot_limit : result.fma_limit;
}

/// Time, work and share of its limit of every group; then, in one line, which groups the time beyond the limit went to.
std::string profile_text(measurement const& result, vit_config const& config, std::optional<std::pair<double, double>> const& video) {
    forward_profile const& profile = result.profile;
    auto const flops = op_flops(config);
    auto const threads = static_cast<double>(profile.threads);
    std::string text = "\none forward of the merged model, " + fixed(profile.seconds, 4) + " s\n              seconds   share    GFLOP  of the limit\n";
    auto const row = [&](std::string_view name, double seconds, double gflop, double limit) {
        text += left(std::string{name}, 11) + cell(fixed(seconds, 4), 10) + cell(fixed(100 * seconds / profile.seconds, 1) + " %", 8);
        if (gflop > 0) text += cell(gflop_text(gflop), 9) + cell(fixed(100 * gflop / seconds / limit, 1) + " %", 14);
        text += "\n";
    };
    double allowed = 0;
    std::vector<std::pair<double, std::string>> beyond; // seconds more than the limit asks for
    for (op_group const group : all_op_groups) {
        double const seconds = profile.thread_times[group] / threads, gflop = flops[group] * 1e-9;
        if (seconds == 0) continue;
        double const limit = limit_of(group, result);
        row(to_string(group), seconds, gflop, limit);
        allowed += gflop / limit;
        beyond.emplace_back(seconds - gflop / limit, to_string(group));
    }
    double const waiting = std::max(profile.seconds - profile.thread_times.total() / threads, 0.0);
    row("waiting", waiting, 0, 1);
    beyond.emplace_back(waiting, "waiting");
    if (video) {
        row("decode", video->first, 0, 1);
        row("preprocess", video->second, 0, 1);
        text += "(decode and preprocess: one view, before the forward)\n";
    }
    std::ranges::sort(beyond, std::greater<>{});
    text += fixed(profile.seconds - allowed, 4) + " s beyond what the limit allows for the " + gflop_text(flops.total() * 1e-9) + " GFLOP computed: ";
    for (std::size_t i = 0; i < 4; ++i) text += (i == 0 ? "" : ", ") + beyond[i].second + " " + fixed(beyond[i].first, 4);
    return text + "\n";
}

std::string video_text(std::pair<double, double> const& video) {
    return "\none view of the video on the CPU: decoding " + fixed(video.first, 4) + " s, preprocessing " + fixed(video.second, 4) + " s\n";
}

std::string loss_text(dtype_loss const& loss, dtype type) {
    return "\n" + std::string{to_option(type)} + " against f32, merged, " + std::to_string(loss.clips) + (loss.clips == 1 ? " random clip" : " random clips") + ": relative L2 of the logits "
           + scientific(median(loss.relative_l2)) + " (median), " + scientific(std::ranges::max(loss.relative_l2)) + " (largest); the same first answer for "
           + std::to_string(loss.same_top1) + "\n";
}

int run_bench(arguments const& typed, console const& out) {
    model_options const choice{typed};
    bench_options options{.repetitions = static_cast<std::size_t>(typed.number("--repetitions", 1, 1000).value_or(5))};
    auto const video = typed.value("--video");
    input_options const typed_input{typed, choice};
    if (typed_input.any && !video) throw usage_error{error_code::bad_option, "--video: missing, expected with options that say how a video is read"};
    run_options const run{typed, out};
    options.loss_clips = static_cast<std::size_t>(typed.number("--loss-clips", 0, 1'000'000).value_or(run.type == dtype::f32 ? 0 : 5));
    auto const m = material_of(typed, choice, out);
    std::optional<input_config> input;
    if (video) input = m.model ? input_of(*m.model, typed_input, input_use::views) : complete(typed_input.stated, input_use::views);
    std::optional<std::pair<double, double>> video_times; // before the minutes that follow: a file that cannot be read says so at once
    if (input) video_times = time_video(*video, *input, m.config, typed_input.decoding, run, out);
    auto const result = measure(m, run, options, out);
    double const gflop = m.config.flops() * 1e-9;

    if (typed.has("--json")) {
        out.print(document_of(m.model ? m.model->stated : *choice.stated, result, gflop).dump() + "\n");
        return 0;
    }
    bool const on_cpu = result.run.device == device_kind::cpu;
    out.print(variants_text(result, gflop) + (on_cpu ? profile_text(result, m.config, video_times) : video_times ? video_text(*video_times) : "")
              + (result.loss.clips > 0 ? loss_text(result.loss, run.type) : "") + (m.model ? "" : "random weights\n"));
    return 0;
}

} // namespace

command bench_command() {
    return {{"bench",
             "times the plain image ViT, the adapted and the merged model side by side",
             {{"CKPT", "a checkpoint (default: random weights)", false}},
             {{{"--repetitions", "N", "interleaved rounds, 1 to 1000 (default 5)"}, {"--video", "FILE", "also time reading one view of it"},
               {"--loss-clips", "N", "random clips on which --dtype is compared with f32 (default 5)"},
               {"--json", "", "one JSON document on stdout"}},
              model_group(), input_group(), run_group(), common_group()},
             "plain: the same sizes without adapters, every head at its own frame. adapted: adapters computed. merged: adapters\n"
             "merged. GFLOP counts the full model without adapters, whatever is skipped; the table of operations counts what is computed.\n"
             "On cuda one clip goes to the device and its logits come back in each repetition; there is no limit and no table."},
            run_bench};
}

} // namespace zeroi2v::program
