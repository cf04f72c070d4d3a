// eval: how often a model is right on a list of videos.
#include "answers.hpp"
#include "clips.hpp"
#include "commands.hpp"
#include "model_source.hpp"
#include "options.hpp"
#include "ranks.hpp"
#include "train_run.hpp"
#include "video_list.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/checkpoints/config_json.hpp>
#include <zeroi2v/io/files/file_checksum.hpp>
#include <zeroi2v/io/files/printable.hpp>
#include <zeroi2v/io/json/json_value.hpp>
#include <zeroi2v/tensor/tensor.hpp>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zeroi2v::program {
namespace {

struct tally {
    std::size_t videos = 0, correct = 0, correct_in_5 = 0;
};

struct result {
    tally all{};
    std::vector<tally> per_class;
    std::vector<std::size_t> confusion; // (K,K), rows are the truth
    std::size_t bad = 0;              // videos that could not be read
    std::vector<json_value> errors{}; // with --json an object for each of them
    double decode_s = 0, preprocess_s = 0, model_s = 0;
};

/// Adds what the other ranks have, in the order of the list: rank by rank.
void add_ranks(gradient_exchange& ranks, result& r) {
    using json = json_value;
    auto tallies = json::array();
    auto const write = [&](tally const& t) { tallies.push_back(json::array({t.videos, t.correct, t.correct_in_5})); };
    write(r.all);
    for (auto const& each : r.per_class) write(each);
    auto const all = ranks.gather(json::object({{"tallies", std::move(tallies)}, {"confusion", r.confusion}, {"bad", r.bad}, {"errors", r.errors},
                                                {"seconds", json::array({r.decode_s, r.preprocess_s, r.model_s})}}).dump());
    std::size_t const classes = r.per_class.size();
    r = {.per_class = std::vector<tally>(classes), .confusion = std::vector<std::size_t>(classes * classes)};
    for (auto const& text : all) {
        auto const part = json::parse(text, "a rank's tallies");
        auto const list = [&](char const* name) -> json::array_type const& { return part.at(name).elements(); };
        auto const read = [&](tally& t, json const& from) {
            auto const& counts = from.elements();
            t.videos += counts[0].as_unsigned().value();
            t.correct += counts[1].as_unsigned().value();
            t.correct_in_5 += counts[2].as_unsigned().value();
        };
        read(r.all, list("tallies")[0]);
        for (std::size_t k = 0; k < classes; ++k) read(r.per_class[k], list("tallies")[k + 1]);
        for (std::size_t i = 0; i < r.confusion.size(); ++i) r.confusion[i] += list("confusion")[i].as_unsigned().value();
        r.bad += part.at("bad").as_unsigned().value();
        r.errors.insert(r.errors.end(), list("errors").begin(), list("errors").end());
        r.decode_s += list("seconds")[0].as_number().value();
        r.preprocess_s += list("seconds")[1].as_number().value();
        r.model_s += list("seconds")[2].as_number().value();
    }
}

std::optional<double> share(std::size_t part, std::size_t whole) {
    if (whole == 0) return std::nullopt;
    return static_cast<double>(part) / static_cast<double>(whole);
}

/// The mean of the accuracies of the classes that have videos.
std::optional<double> mean_class_accuracy(result const& r) {
    double sum = 0;
    std::size_t classes = 0;
    for (auto const& each : r.per_class) {
        if (each.videos == 0) continue;
        sum += static_cast<double>(each.correct) / static_cast<double>(each.videos);
        ++classes;
    }
    if (classes == 0) return std::nullopt;
    return sum / static_cast<double>(classes);
}

std::string to_json_text(result const& r, class_names const& names) {
    using json = json_value;
    std::size_t const classes = r.per_class.size();
    json per_class = json::array(), confusion = json::array();
    for (std::size_t k = 0; k < classes; ++k) {
        auto const& each = r.per_class[k];
        per_class.push_back(json::object({{"index", k}, {"label", names[k]}, {"videos", each.videos}, {"top1", share(each.correct, each.videos)},
                                          {"top5", share(each.correct_in_5, each.videos)}}));
        confusion.push_back(std::vector<std::size_t>(r.confusion.begin() + static_cast<std::ptrdiff_t>(k * classes),
                                                     r.confusion.begin() + static_cast<std::ptrdiff_t>((k + 1) * classes)));
    }
    auto const document = json::object({{"videos", r.all.videos + r.bad}, {"evaluated", r.all.videos}, {"bad", r.bad},
                                        {"top1", share(r.all.correct, r.all.videos)}, {"top5", share(r.all.correct_in_5, r.all.videos)},
                                        {"mean_class_accuracy", mean_class_accuracy(r)}, {"per_class", std::move(per_class)}, {"confusion", std::move(confusion)},
                                        {"errors", r.errors},
                                        {"seconds", json::object({{"decode", r.decode_s}, {"preprocess", r.preprocess_s}, {"model", r.model_s}})}});
    return document.dump() + "\n";
}

std::string percent(std::optional<double> value) { return value ? fixed(100 * *value, 2) + " %" : "-"; }

std::string to_text(result const& r, class_names const& names) {
    std::size_t const classes = r.per_class.size();
    std::string text = "videos   " + std::to_string(r.all.videos) + " evaluated, " + std::to_string(r.bad) + " bad\n";
    text += "top-1    " + percent(share(r.all.correct, r.all.videos)) + "\ntop-5    " + percent(share(r.all.correct_in_5, r.all.videos))
            + "\nmean of classes  " + percent(mean_class_accuracy(r)) + "\n";
    if (r.all.videos > 0) text += "\nclass (videos): top-1, top-5\n";
    for (std::size_t k = 0; k < classes; ++k) {
        auto const& each = r.per_class[k];
        if (each.videos == 0) continue;
        text += "  " + printable(names.shown(k)) + " (" + std::to_string(each.videos) + "): " + percent(share(each.correct, each.videos)) + ", "
                + percent(share(each.correct_in_5, each.videos)) + "\n";
    }
    struct mistake { std::size_t count, truth, answer; };
    std::vector<mistake> mistakes;
    for (std::size_t truth = 0; truth < classes; ++truth)
        for (std::size_t answer = 0; answer < classes; ++answer)
            if (truth != answer && r.confusion[truth * classes + answer] > 0) mistakes.push_back({r.confusion[truth * classes + answer], truth, answer});
    std::ranges::stable_sort(mistakes, [](mistake const& a, mistake const& b) { return a.count > b.count; });
    if (!mistakes.empty()) text += "\nconfusion: count, truth -> answer\n";
    constexpr std::size_t most = 50;
    for (std::size_t i = 0; i < std::min(mistakes.size(), most); ++i)
        text += "  " + std::to_string(mistakes[i].count) + "  " + printable(names.shown(mistakes[i].truth)) + " -> " + printable(names.shown(mistakes[i].answer)) + "\n";
    if (mistakes.size() > most) text += "  and " + std::to_string(mistakes.size() - most) + " pairs more (--json has all)\n";
    return text;
}

int run_eval(arguments const& typed, console const& out) {
    model_options const choice{typed};
    input_options const typed_input{typed, choice};
    run_options const run{typed, out};
    std::filesystem::path const checkpoint_path = *typed.operand(0), list_path = *typed.operand(1);
    video_list const videos{list_path};
    bool const as_json = typed.has("--json");

    auto const own = share_of(videos.size());
    progress shown{out, "videos", own.size()};
    auto const model = open_model(checkpoint_path, choice, tolerance_options{typed}, out);
    auto const& c = model.config;
    videos.require_classes(c.classes());
    auto const names = names_of(typed, model, choice);
    auto const input = input_of(model, typed_input, input_use::answers);
    view_builder::checked(input, c.image_size());
    if (ranks() != nullptr)
        require_one_run(*ranks(), json_value::object({{"model", to_json(model.stated)}, {"checkpoint_crc32", file_checksum(file{checkpoint_path})},
                                                      {"list_crc32", file_checksum(file{list_path})}, {"input", to_json(stated_by(input))},
                                                      {"dtype", dtype_name(run.type)}}));
    auto const engine = start_model(model, run, out);
    note_untrained(model, out);
    bool const on_device = engine->device() == device_kind::cuda;
    video_queue reading{own.size(), [&](std::size_t i) { return videos.path(own.begin + i); },
                        {.input = input, .frames = c.frames(), .image_size = c.image_size(), .decoding = typed_input.decoding, .threads = run.threads,
                         .frames_only = on_device},
                        on_device};

    result r{.per_class = std::vector<tally>(c.classes()), .confusion = std::vector<std::size_t>(c.classes() * c.classes())};
    for (std::size_t i = own.begin; i < own.end; ++i) {
        auto const label = static_cast<std::size_t>(videos.label(i));
        try {
            auto const video = reading.next(out);
            dynamic_tensor<float, 2> logits{video.views, c.classes()};
            stopwatch const clock;
            video.forward(*engine, input, logits);
            r.model_s += clock.seconds();
            r.decode_s += video.decode_s;
            r.preprocess_s += video.preprocess_s;
            require_finite(logits, printable(videos.path(i).native(), 4096));
            auto const top = most_probable(join_views(logits, input.average), 5);
            bool const correct = top.front().index == label;
            bool const in_5 = std::ranges::any_of(top, [&](ranked_class const& k) { return k.index == label; });
            for (tally* const t : {&r.all, &r.per_class[label]}) {
                t->videos += 1;
                t->correct += correct ? 1U : 0U;
                t->correct_in_5 += in_5 ? 1U : 0U;
            }
            r.confusion[label * c.classes() + top.front().index] += 1;
        } catch (video_error const& fault) {
            report_error(fault.code_name(), fault.what());
            r.bad += 1;
            if (as_json)
                r.errors.push_back(json_value::object({{"video", videos.text(i)}, {"error", json_value::object({{"code", fault.code_name()}, {"message", fault.what()}})}}));
        }
        shown.step(i + 1 - own.begin);
    }
    if (ranks() != nullptr) add_ranks(*ranks(), r);
    if (first_rank()) out.print(as_json ? to_json_text(r, names) : to_text(r, names));
    return r.bad == 0 ? 0 : status_bad_video;
}

} // namespace

command eval_command() {
    return {{"eval",
             "says how often a model is right on a list of videos",
             {{"CKPT", "a checkpoint, adapted or merged"}, {"LIST", "`path label` per line; paths are relative to the list"}},
             {{{"--json", "", "one JSON document on stdout"}}, model_group(), input_group(), run_group(), common_group()},
             "Videos that cannot be read are counted and left out; the exit status is then 5.\n"
             "mpirun -n N shares the list between N processes, where the program was built with ZEROI2V_MPI."},
            run_eval, true};
}

} // namespace zeroi2v::program
