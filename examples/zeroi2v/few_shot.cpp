// few-shot: the same training with few samples of each class, several draws for each number of them.
#include "commands.hpp"
#include "console.hpp"
#include "model_source.hpp"
#include "options.hpp"
#include "train_options.hpp"
#include "train_run.hpp"
#include "train_source.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/printable.hpp>
#include <zeroi2v/io/json/json_value.hpp>
#include <zeroi2v/train/sample_order.hpp>
#include <zeroi2v/train/trainer.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace zeroi2v::program {
namespace {

std::vector<std::size_t> shots_of(arguments const& typed) {
    auto const text = typed.value("--shots").value_or("1,2,4,8,16");
    std::vector<std::size_t> all;
    for (std::string_view rest = text; !rest.empty();) {
        auto const word = rest.substr(0, rest.find(','));
        rest.remove_prefix(std::min(word.size() + 1, rest.size()));
        std::size_t shots = 0;
        auto const [end, fault] = std::from_chars(word.data(), word.data() + word.size(), shots);
        if (fault != std::errc{} || end != word.data() + word.size() || shots == 0 || shots > 1000000)
            throw usage_error{error_code::bad_number, "--shots: '" + printable(text, 80) + "' found, whole numbers from 1 to 1000000 with commas between expected"};
        all.push_back(shots);
    }
    if (all.empty()) throw usage_error{error_code::bad_number, "--shots: '' found, whole numbers with commas between expected"};
    return all;
}

/// The 97.5 % point of Student's t with n degrees of freedom.
double student_t(std::size_t n) {
    constexpr std::array<double, 30> table{12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
                                           2.120,  2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042};
    if (n == 0) return 0;
    return n <= table.size() ? table[n - 1] : 1.96 + 2.5 / static_cast<double>(n);
}

/// Of each draw; nothing where no video could be evaluated.
using shares = std::vector<std::optional<double>>;

struct row {
    std::size_t shots{};
    shares top1, top5;
};

/// Of those that are there.
std::optional<double> mean(shares const& values) {
    double sum = 0;
    std::size_t count = 0;
    for (auto const& v : values) {
        if (!v) continue;
        sum += *v;
        ++count;
    }
    if (count == 0) return std::nullopt;
    return sum / static_cast<double>(count);
}

/// Half of the 95 % interval of the mean; 0 for one value.
std::optional<double> half_interval(shares const& values) {
    auto const middle = mean(values);
    if (!middle) return std::nullopt;
    double square = 0;
    std::size_t count = 0;
    for (auto const& v : values) {
        if (!v) continue;
        square += (*v - *middle) * (*v - *middle);
        ++count;
    }
    if (count < 2) return 0;
    auto const n = static_cast<double>(count);
    return student_t(count - 1) * std::sqrt(square / (n - 1) / n);
}

/// Samples of the class that has the fewest.
std::size_t smallest_class(train_source const& data) {
    std::map<std::int64_t, std::size_t> counts;
    for (std::size_t i = 0; i < data.size(); ++i) ++counts[data.label(i, 0)];
    return std::ranges::min_element(counts, {}, [](auto const& each) { return each.second; })->second;
}

int run_few_shot(arguments const& typed, console const& out) {
    model_options const choice{typed};
    input_options const typed_input{typed, choice};
    train_settings const settings{typed};
    auto const shots = shots_of(typed);
    auto const draws = typed.number("--draws", 1, 1000).value_or(3);
    std::size_t const threads = threads_option(typed);
    if (!typed.value("--val")) throw usage_error{error_code::usage, "--val: missing, held-out data expected: few-shot says how well they are classified"};
    auto const model = open_model(*typed.operand(0), choice, tolerance_options{typed}, out);
    auto const reading = [&] { return video_reading{input_of(model, typed_input, input_use::answers), typed_input.decoding, settings.augmentation_kind(), settings.seed}; };
    auto const data = open_train_source(train_data{*typed.operand(1)}, model.config, reading, out);
    auto const val = open_train_source(train_data{*typed.value("--val")}, model.config, reading, out);
    if (data->groups().size() != 1 || val->groups() != data->groups()) throw usage_error{error_code::bad_option, "few-shot: several label sets found, one expected"};
    auto const average = val->decodes() ? reading().input.average : view_average::prob;

    if (std::size_t const fewest = smallest_class(*data); fewest < std::ranges::max(shots))
        out.notice("--shots: the smallest class has " + std::to_string(fewest) + (fewest == 1 ? " sample" : " samples") + "; where more are asked for, all of a class are taken");

    std::vector<row> rows;
    std::size_t evaluated = val->size(), bad = 0; // held-out samples of the draw that had the fewest
    bool threads_noted = false, readers_noted = false; // once, not for each run
    auto const on_readers = [&](std::size_t given) {
        if (!std::exchange(readers_noted, true)) note_threads("--decode-threads", settings.decode_threads, given, out);
    };
    signal_watch const watch;
    progress shown{out, "runs", shots.size() * draws};
    for (std::size_t const k : shots) {
        row each;
        each.shots = k;
        for (std::uint64_t draw = 0; draw < draws; ++draw) {
            auto own = settings;
            own.seed = settings.seed + draw;
            own.val_every = std::uint64_t{1} << 62U; // at the end only
            trainer training{load_start(model), trainer_options_of(own, data->groups(), threads)};
            if (!std::exchange(threads_noted, true)) note_threads("--threads", threads, training.threads(), out);
            console const silent{true};
            auto const outcome = run_training({.training = training, .data = *data, .samples = draw_shots(data->size(), [&](std::size_t i) { return data->label(i, 0); }, k, own.seed), .val = val.get(), .average = average,
                                               .settings = own, .out = silent, .on_readers = on_readers});
            if (outcome.interrupted != 0) {
                report_error(to_string(error_code::interrupted), "stopped by signal " + std::to_string(outcome.interrupted));
                return 128 + outcome.interrupted;
            }
            evaluated = std::min(evaluated, outcome.val->samples);
            bad = std::max(bad, outcome.val->bad);
            each.top1.push_back(outcome.val->top1[0]);
            each.top5.push_back(outcome.val->top5[0]);
            shown.step(rows.size() * draws + draw + 1);
        }
        rows.push_back(each);
    }

    if (typed.has("--json")) {
        auto list = json_value::array();
        auto const share = [](shares const& values) {
            return json_value::object({{"mean", mean(values)}, {"interval95", half_interval(values)}, {"draws", values}});
        };
        for (auto const& each : rows) list.push_back(json_value::object({{"shots", each.shots}, {"top1", share(each.top1)}, {"top5", share(each.top5)}}));
        auto const document = json_value::object({{"seed", settings.seed}, {"draws", draws}, {"samples", data->size()}, {"evaluated", evaluated}, {"bad", bad}, {"rows", std::move(list)}});
        out.print(document.dump() + "\n");
        return bad == 0 ? 0 : status_bad_video;
    }
    std::string text = "shots   top-1, 95 %          top-5, 95 %          of " + std::to_string(draws) + " draws\n";
    auto const cell = [](shares const& values) {
        auto const middle = mean(values);
        std::string one = middle ? fixed(100 * *middle, 2) + (values.size() > 1 ? " +- " + fixed(100 * *half_interval(values), 2) : "") + " %" : "-";
        one.resize(std::max<std::size_t>(one.size(), 21), ' ');
        return one;
    };
    for (auto const& each : rows) {
        std::string number = std::to_string(each.shots);
        number.resize(std::max<std::size_t>(number.size(), 8), ' ');
        text += number + cell(each.top1) + cell(each.top5) + "\n";
    }
    if (bad > 0) text += std::to_string(evaluated) + " held-out videos evaluated, " + std::to_string(bad) + " bad\n";
    out.print(text);
    return bad == 0 ? 0 : status_bad_video;
}

} // namespace

command few_shot_command() {
    return {{"few-shot",
             "trains on few samples of each class and says how well that went",
             {{"START", "a file of init, or any adapted checkpoint"},
              {"DATA", "clips and labels (safetensors), or a list of videos, `path label` per line"}},
             {{{"--val", "DATA", "held-out data, evaluated after each run"},
               {"--shots", "K,...", "samples of each class (default 1,2,4,8,16)"},
               {"--draws", "N", "runs for each of them, with seeds S to S+N-1 (default 3)"},
               {"--json", "", "one JSON document on stdout"},
               {"--threads", "N", "1 to 1024 (default: the processors of this process)"}},
              schedule_group(), recipe_group(), model_group(), input_group(), common_group()},
             "The interval is Student's t over the draws; each draw has other samples, another order and other dropout.\n"
             "Held-out videos that cannot be read are counted and left out; the exit status is then 5."},
            run_few_shot};
}

} // namespace zeroi2v::program
