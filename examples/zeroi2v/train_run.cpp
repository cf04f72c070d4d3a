#include "train_run.hpp"

#include "answers.hpp"
#include "clip_queue.hpp"
#include "options.hpp"
#include "report_json.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/dispatch/dispatch.hpp>
#include <zeroi2v/io/files/atomic_file.hpp>
#include <zeroi2v/io/files/crc32.hpp>
#include <zeroi2v/io/files/printable.hpp>
#include <zeroi2v/io/files/text_file.hpp>
#include <zeroi2v/io/json/json_value.hpp>
#include <zeroi2v/train/loss.hpp>
#include <zeroi2v/train/sample_order.hpp>
#include <zeroi2v/train/schedule.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <sstream>
#include <string_view>
#include <type_traits>
#include <system_error>
#include <utility>
#include <variant>

#include <fcntl.h>
#include <unistd.h>

namespace zeroi2v::program {
namespace {

volatile std::sig_atomic_t signal_seen = 0;
std::array<int, 2> const watched{SIGINT, SIGTERM};
std::array<struct sigaction, 2> before_watch{};

extern "C" void note_signal(int signal) {
    signal_seen = signal;
    for (std::size_t i = 0; i < watched.size(); ++i) ::sigaction(watched[i], &before_watch[i], nullptr);
}

/// `step 12/100  loss 1.234  5.6 clips/s  3 min left` on stderr where it is a terminal.
class step_line {
public:
    step_line(console const& out, std::uint64_t first, std::uint64_t total)
        : wanted_{!out.quiet() && ::isatty(STDERR_FILENO) == 1}, first_{first}, total_{total} {}
    step_line(step_line const&) = delete;
    step_line& operator=(step_line const&) = delete;
    ~step_line() {
        if (shown_) say("\r\x1b[K");
    }

    void show(std::uint64_t done, double loss, std::uint64_t clips) {
        clips_ += clips;
        double const seconds = clock_.seconds();
        if (!wanted_ || seconds - last_ < 0.1) return;
        last_ = seconds;
        shown_ = true;
        double const left = seconds / static_cast<double>(done - first_) * static_cast<double>(total_ - done);
        say("\r\x1b[Kstep " + std::to_string(done) + "/" + std::to_string(total_) + "  loss " + scientific(loss, 4) + "  "
            + scientific(static_cast<double>(clips_) / seconds, 3) + " clips/s  " + (left < 120 ? fixed(left, 0) + " s" : fixed(left / 60, 0) + " min") + " left");
    }

private:
    static void say(std::string const& text) noexcept {
        if (::write(STDERR_FILENO, text.data(), text.size()) < 0) {}
    }

    bool wanted_, shown_ = false;
    std::uint64_t first_, total_, clips_ = 0;
    double last_ = -1;
    stopwatch clock_;
};

/// Steps between two comparisons of the ranks' parameters.
constexpr std::uint64_t compared_every = 100;

std::string parameters_sum(trainer const& training) {
    crc32 sum;
    for (auto const& each : training.trained()) sum.update(each.tensor->bytes());
    return "checksum " + std::to_string(sum.value());
}

/// What the ranks tell each other between two steps: the signal that came, and the bad videos that are new. All go on, or
/// stop, alike.
int exchange_news(gradient_exchange& ranks, bad_videos& bad) {
    std::string mine = std::to_string(signal_watch::seen());
    for (std::size_t const sample : bad.news()) mine += " " + std::to_string(sample);
    int signal = 0;
    for (auto const& text : ranks.gather(mine)) {
        std::istringstream words{text};
        int seen = 0;
        words >> seen;
        if (signal == 0) signal = seen;
        for (std::size_t sample = 0; words >> sample;) bad.add_known(sample);
    }
    return signal;
}

/// A line of the log; null where it is no JSON.
json_value log_line(std::string_view text) {
    try {
        return json_value::parse(text, "log");
    } catch (checkpoint_error const&) {
        return {};
    }
}

} // namespace

void require_one_run(gradient_exchange& ranks, json_value const& asked) {
    auto const all = ranks.gather(asked.dump());
    auto const first = json_value::parse(all[0], ranks.name(0));
    for (std::size_t r = 1; r < all.size(); ++r) {
        std::string list;
        for (auto const& each : fingerprint_differences(first, json_value::parse(all[r], ranks.name(r)), "on " + ranks.name(0), "on " + ranks.name(r)))
            list += (list.empty() ? "" : "; ") + each;
        if (!list.empty()) throw training_error{error_code::ranks_differ, list + "; the same expected"};
    }
}

signal_watch::signal_watch() {
    signal_seen = 0;
    struct sigaction note {};
    note.sa_handler = note_signal;
    sigfillset(&note.sa_mask);
    note.sa_flags = SA_RESTART;
    for (std::size_t i = 0; i < watched.size(); ++i) {
        ::sigaction(watched[i], nullptr, &before_watch[i]);
        if (before_watch[i].sa_handler != SIG_IGN) ::sigaction(watched[i], &note, nullptr); // who ignores it goes on so
    }
}

signal_watch::~signal_watch() {
    for (std::size_t i = 0; i < watched.size(); ++i) ::sigaction(watched[i], &before_watch[i], nullptr);
}

int signal_watch::seen() noexcept { return signal_seen; }

train_log::train_log(std::filesystem::path path, std::optional<std::uint64_t> resumed_at, output_guard guard) : path_{std::move(path)} {
    std::string kept;
    std::error_code none;
    if (resumed_at && std::filesystem::exists(path_, none)) {
        auto const text = read_whole_file(path_, std::size_t{4} << 30U);
        for (std::string_view rest = text; !rest.empty();) {
            auto const end = rest.find('\n');
            if (end == std::string_view::npos) break; // torn
            auto const line = log_line(rest.substr(0, end));
            auto const* const found = line.find("step");
            auto const step = found == nullptr ? std::nullopt : found->as_unsigned();
            bool const after = step && (line.find("val") != nullptr ? *step > *resumed_at : *step >= *resumed_at);
            if (line.as_object() != nullptr && !after) kept.append(rest.substr(0, end + 1));
            rest.remove_prefix(end + 1);
        }
    }
    during_work([&] {
        atomic_file file{path_, {}, std::move(guard)};
        file.write(std::string_view{kept});
        descriptor_ = file.commit_open();
    });
}

train_log::~train_log() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

void train_log::write(json_value const& line) {
    std::string const text = line.dump() + "\n";
    for (std::string_view rest = text; !rest.empty();) {
        auto const done = ::write(descriptor_, rest.data(), rest.size());
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) throw resource_error{error_code::write_failed, printable(path_.native(), 4096) + ": cannot be written: " + std::generic_category().message(done < 0 ? errno : EIO)};
        rest.remove_prefix(static_cast<std::size_t>(done));
    }
}

json_value val_result::json() const {
    auto const one_or_list = [](std::vector<std::optional<double>> const& values) { return values.size() == 1 ? json_value{values[0]} : json_value{values}; };
    return json_value::object({{"samples", samples}, {"bad", bad}, {"top1", one_or_list(top1)}, {"top5", one_or_list(top5)}});
}

val_result evaluate(trainer& training, train_source const& data, view_average average, console const& out) {
    std::size_t const classes = training.config().classes(), at_once = data.decodes() ? 1 : training.clips_at_once();
    auto const& groups = data.groups();
    std::vector<std::size_t> first(groups.size()), fifth(groups.size());
    val_result result;
    auto const judge = [&](std::size_t i, std::span<float const> scores) {
        std::size_t at = 0;
        for (std::size_t g = 0; g < groups.size(); at += groups[g], ++g) {
            first[g] += label_in_top(scores.subspan(at, groups[g]), data.label(i, g), 1) ? 1U : 0U;
            fifth[g] += label_in_top(scores.subspan(at, groups[g]), data.label(i, g), 5) ? 1U : 0U;
        }
        result.samples += 1;
    };
    auto* const ranks = training.options().exchange;
    auto const [begin, end] = training.share(data.size());
    progress shown{out, "evaluating", end - begin};
    for (std::size_t i = begin; i < end && signal_watch::seen() == 0;) {
        if (at_once > 1) {
            std::size_t const here = std::min(at_once, end - i);
            auto const& c = training.config();
            dynamic_tensor<float, 5> clips{here, c.frames(), std::size_t{3}, c.image_size(), c.image_size()};
            dynamic_tensor<float, 2> logits{here, classes};
            for (std::size_t k = 0; k < here; ++k) static_cast<void>(data.read(i + k, 0, {clips.data() + k * c.clip_values(), c.clip_values()}));
            training.logits(clips.view(), logits.view());
            for (std::size_t k = 0; k < here; ++k) judge(i + k, {logits.data() + k * classes, classes});
            i += here;
        } else {
            try {
                auto const views = data.views(i);
                dynamic_tensor<float, 2> logits{views.extent(0), classes};
                training.logits(views.view(), logits.view());
                if (views.extent(0) == 1) {
                    judge(i, {logits.data(), classes});
                } else {
                    auto const joined = join_views(logits.view(), average);
                    std::vector<float> const scores(joined.begin(), joined.end());
                    judge(i, scores);
                }
            } catch (video_error const& fault) {
                report_error(fault.code_name(), fault.what());
                result.bad += 1;
            }
            ++i;
        }
        shown.step(i - begin);
    }
    if (ranks != nullptr) {
        auto const all = ranks->gather(json_value::object({{"samples", result.samples}, {"bad", result.bad}, {"first", first}, {"fifth", fifth}}).dump());
        for (std::size_t r = 0; r < all.size(); ++r) {
            if (r == ranks->rank()) continue;
            auto const other = json_value::parse(all[r], ranks->name(r));
            auto const count = [](json_value const& value) { return value.as_unsigned().value(); };
            result.samples += count(other.at("samples"));
            result.bad += count(other.at("bad"));
            for (std::size_t g = 0; g < groups.size(); ++g) {
                first[g] += count(other.at("first").elements().at(g));
                fifth[g] += count(other.at("fifth").elements().at(g));
            }
        }
    }
    for (std::size_t g = 0; g < groups.size(); ++g) {
        auto const share = [&](std::size_t right) { return result.samples == 0 ? std::nullopt : std::optional{static_cast<double>(right) / static_cast<double>(result.samples)}; };
        result.top1.push_back(share(first[g]));
        result.top5.push_back(share(fifth[g]));
    }
    return result;
}

adapted_vit load_start(opened_model const& model) {
    return std::visit([](auto&& weights) -> adapted_vit {
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(weights)>, adapted_vit>) return std::move(weights);
        else return without_adapters(std::move(weights));
    }, model.load());
}

trainer_options trainer_options_of(train_settings const& settings, std::vector<std::size_t> const& groups, std::size_t threads) {
    return {.trainable = settings.trains(), .weight_decay = settings.weight_decay, .backbone_lr_scale = settings.backbone_lr_scale,
            .label_smoothing = settings.label_smoothing, .adapter_dropout = settings.adapter_dropout, .head_dropout = settings.head_dropout,
            .seed = settings.seed, .label_groups = groups, .recompute = settings.recompute, .threads = threads, .kernels = &kernels_from_environment()};
}

std::uint64_t total_steps(train_settings const& settings, std::size_t samples) noexcept {
    std::uint64_t const per_epoch = (samples + settings.clips_per_step() - 1) / settings.clips_per_step();
    return settings.steps ? *settings.steps : settings.epochs.value_or(40) * per_epoch;
}

train_outcome run_training(train_job const& job) {
    auto& training = job.training;
    auto const& settings = job.settings;
    std::uint64_t const samples = job.samples.empty() ? job.data.size() : job.samples.size(), per_step = std::min<std::uint64_t>(settings.clips_per_step(), samples);
    std::uint64_t const per_epoch = (samples + per_step - 1) / per_step, total = total_steps(settings, samples);
    lr_schedule const schedule{settings.cosine, settings.steps.has_value(), settings.warmup_epochs, per_epoch, total};

    // The n-th clip of this run: the last batch of an epoch may be short, so an epoch has as many clips as samples.
    sample_order order{samples, settings.shuffled, settings.seed};
    std::uint64_t const start = training.steps();
    std::uint64_t const skipped = start / per_epoch * samples + start % per_epoch * per_step;
    bad_videos bad{static_cast<std::size_t>(settings.bad_videos.value_or(std::max<std::uint64_t>(samples / 100, 1)))};
    std::size_t const values = training.config().clip_values(), chunk = training.clips_at_once();
    auto* const ranks = training.options().exchange;
    auto const clips_of = [&](std::uint64_t step) { return std::min(per_step, samples - step % per_epoch * per_step); };
    // This rank's clips come one after the other: its share of each step. Without a share of a whole step it has none at all.
    std::size_t const threads = job.data.decodes() && !training.share(per_step).empty() ? settings.decode_threads : 0;
    std::uint64_t reading = start, before = skipped, taken = 0;
    auto const next_clip = [&](std::uint64_t) {
        while (taken == training.share(clips_of(reading)).size()) {
            before += clips_of(reading++);
            taken = 0;
        }
        std::uint64_t const position = before + training.share(clips_of(reading)).begin + taken++;
        std::size_t const sample = order.at(position);
        return clip_queue::wanted{job.samples.empty() ? sample : job.samples[sample], position};
    };
    clip_queue queue{job.data, values, next_clip, threads, std::max<std::size_t>(2 * threads, 8), bad};
    if (threads > 0 && job.on_readers) job.on_readers(queue.threads());

    train_outcome outcome;
    std::vector<float> clips(chunk * values);
    std::vector<std::int64_t> labels;
    auto const& c = training.config();
    step_line line{job.out, start, total};
    // Ranks agree between steps; who is alone may leave amidst one.
    auto const interrupted = [&] { return (outcome.interrupted = ranks == nullptr ? signal_watch::seen() : exchange_news(*ranks, bad)) != 0; };
    while (training.steps() < total) {
        stopwatch const clock;
        std::uint64_t const step = training.steps();
        std::uint64_t const count = clips_of(step), own = training.share(count).size();
        double const factor = schedule.factor(step);
        training.begin(count);
        for (std::uint64_t done = 0; done < own;) {
            auto const here = static_cast<std::size_t>(std::min<std::uint64_t>(chunk, own - done));
            labels.clear();
            for (std::size_t i = 0; i < here; ++i) {
                auto const clip = queue.next();
                std::copy_n(clip.values.data(), values, clips.data() + i * values);
                labels.insert(labels.end(), clip.labels.begin(), clip.labels.end());
            }
            training.add(view<float const, 5>{clips.data(), here, c.frames(), 3, c.image_size(), c.image_size()}, labels);
            done += here;
            if (ranks == nullptr && interrupted()) break;
        }
        if (outcome.interrupted != 0) break;
        outcome.loss = training.end(settings.lr * factor).loss;
        std::uint64_t const now = training.steps();
        if (job.log != nullptr) job.log->write(json_value::object({{"step", step}, {"loss", outcome.loss}, {"lr", settings.lr * factor}, {"seconds", clock.seconds()}}));
        line.show(now, outcome.loss, count);
        if (ranks != nullptr && (now == total || now % compared_every == 0)) require_same(*ranks, "parameters after step " + std::to_string(now), parameters_sum(training));
        bool const evaluates = job.val != nullptr && (now == total || now % (settings.val_every == 0 ? per_epoch : settings.val_every) == 0);
        if (evaluates) {
            outcome.val = evaluate(training, *job.val, job.average, job.out);
            if (interrupted()) outcome.val.reset();
            else if (job.log != nullptr) job.log->write(json_value::object({{"step", now}, {"val", outcome.val->json()}}));
        }
        if (interrupted()) break;
        if (job.save && job.save_every != 0 && now % job.save_every == 0 && now != total) job.save();
    }
    outcome.bad = bad.count();
    return outcome;
}

} // namespace zeroi2v::program
