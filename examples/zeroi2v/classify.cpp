// classify: what a video shows, by name.
#include "answers.hpp"
#include "clips.hpp"
#include "commands.hpp"
#include "html_page.hpp"
#include "model_source.hpp"
#include "options.hpp"
#include "png.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/atomic_file.hpp>
#include <zeroi2v/io/files/printable.hpp>
#include <zeroi2v/io/json/json_value.hpp>
#include <zeroi2v/tensor/tensor.hpp>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace zeroi2v::program {
namespace {

struct answer {
    std::string video;
    std::size_t frames = 0, views = 0;
    std::vector<ranked_class> top{};
    double decode_s = 0, preprocess_s = 0, model_s = 0;
};

json_value to_json(answer const& a, class_names const& names) {
    using json = json_value;
    json top = json::array();
    for (auto const& [index, probability] : a.top)
        top.push_back(json::object({{"index", index}, {"label", names[index]}, {"probability", probability}}));
    return json::object({{"video", a.video}, {"frames", a.frames}, {"views", a.views}, {"top", std::move(top)},
                         {"seconds", json::object({{"decode", a.decode_s}, {"preprocess", a.preprocess_s}, {"model", a.model_s}})}});
}

std::string to_text(answer const& a, class_names const& names) {
    std::string text = printable(a.video, 4096) + ": " + std::to_string(a.frames) + (a.frames == 1 ? " frame, " : " frames, ")
                       + std::to_string(a.views) + (a.views == 1 ? " view\n" : " views\n");
    for (auto const& [index, probability] : a.top) {
        std::string const percent = fixed(100 * probability, 2);
        text += std::string(8 - std::min<std::size_t>(percent.size(), 8), ' ') + percent + " %  " + printable(names.shown(index)) + "\n";
    }
    return text + "    decoding " + fixed(a.decode_s, 3) + " s, preprocessing " + fixed(a.preprocess_s, 3) + " s, model " + fixed(a.model_s, 3) + " s\n";
}

std::vector<std::vector<shown_frame>> pictures(preprocessed_video const& video, normalization normalize) {
    std::size_t const views = video.clip.extent(0), frames = video.clip.extent(1), size = video.clip.extent(4);
    std::size_t const side = views * frames <= 32 ? 96 : 64; // keeps a page of 96 pictures below 2 MB
    std::vector<std::vector<shown_frame>> result(views);
    for (std::size_t v = 0; v < views; ++v)
        for (std::size_t t = 0; t < frames; ++t)
            result[v].push_back({video.indices(v, t), thumbnail(view<float const, 3>{&video.clip(v, t, 0U, 0U, 0U), std::size_t{3}, size, size}, normalize, side)});
    return result;
}

int run_classify(arguments const& typed, console const& out) {
    model_options const choice{typed};
    input_options const typed_input{typed, choice};
    auto const top = static_cast<std::size_t>(typed.number("--top", 1, std::uint64_t{1} << 20U).value_or(5));
    bool const as_json = typed.has("--json");
    bool const as_page = typed.has("--html");
    if (as_json && as_page) throw usage_error{error_code::bad_option, "--html: given together with --json, expected one of them"};
    run_options const run{typed, out};
    std::filesystem::path const checkpoint_path = *typed.operand(0);
    std::vector<std::filesystem::path> videos(typed.operands().begin() + 1, typed.operands().end());
    std::filesystem::path page;
    auto inputs = inputs_of(choice, videos);
    inputs.push_back(checkpoint_path);
    if (auto const labels = typed.value("--labels")) inputs.emplace_back(*labels);
    if (as_page) page = output_path(typed, inputs, "--html");

    progress shown{out, "videos", videos.size()};
    auto const model = open_model(checkpoint_path, choice, tolerance_options{typed}, out);
    auto const names = names_of(typed, model, choice);
    auto const input = input_of(model, typed_input, input_use::answers);
    auto const& c = model.config;
    view_builder::checked(input, c.image_size());
    auto const engine = start_model(model, run, out);
    note_untrained(model, out);
    bool const on_device = engine->device() == device_kind::cuda;
    video_queue reading{videos,
                        {.input = input, .frames = c.frames(), .image_size = c.image_size(), .decoding = typed_input.decoding, .threads = run.threads,
                         .frames_only = on_device && !as_page}, // the page shows the views' pixels
                        on_device};

    auto document = json_value::array();
    std::vector<shown_video> shown_videos;
    int status = 0;
    for (std::size_t i = 0; i < videos.size(); ++i) {
        answer a{.video = videos[i].native()};
        try {
            auto const video = reading.next(out);
            dynamic_tensor<float, 2> logits{video.views, c.classes()};
            stopwatch const clock;
            video.forward(*engine, input, logits);
            a.model_s = clock.seconds();
            require_finite(logits, printable(a.video, 4096));
            a.frames = video.report.decoded;
            a.views = video.views;
            a.decode_s = video.decode_s;
            a.preprocess_s = video.preprocess_s;
            a.top = most_probable(join_views(logits, input.average), top);
            if (as_json) {
                auto entry = to_json(a, names);
                if (run.tells_device) entry.set("device", to_string(engine->device()));
                document.push_back(std::move(entry));
            } else out.print(to_text(a, names));
            if (as_page) {
                shown_video entry{.name = a.video, .frames = a.frames, .views = pictures(video.on_cpu(), input.normalize), .decode_s = a.decode_s,
                                  .preprocess_s = a.preprocess_s, .model_s = a.model_s};
                for (auto const& [index, probability] : a.top) entry.top.emplace_back(names.shown(index), probability);
                shown_videos.push_back(std::move(entry));
            }
        } catch (video_error const& fault) {
            status = status_bad_video;
            report_error(fault.code_name(), fault.what());
            std::string const code{fault.code_name()};
            if (as_json) document.push_back(json_value::object({{"video", a.video}, {"error", json_value::object({{"code", code}, {"message", fault.what()}})}}));
            if (as_page) shown_videos.push_back({.name = a.video, .fault = std::pair{code, std::string{fault.what()}}});
        }
        shown.step(i + 1);
    }
    if (as_json) out.print(document.dump(2) + "\n");
    if (as_page) {
        page_head const head{.checkpoint = model.file->name(), .run = engine->description(), .input = describe(input),
                             .merged = !model.file->has_adapters(), .untrained = model.file->metadata().untrained.has_value()};
        during_work([&] {
            atomic_file file{page, inputs};
            file.write(std::string_view{html_page(head, c, shown_videos)});
            file.commit();
        });
    }
    return status;
}

} // namespace

command classify_command() {
    return {{"classify",
             "says what videos show",
             {{"CKPT", "a checkpoint, adapted or merged"}, {"VIDEO", "any file that FFmpeg decodes", true, true}},
             {{{"--labels", "FILE", "class names, one per line (default: the preset's)"},
               {"--top", "N", "answers per video (default 5)"},
               {"--json", "", "one JSON document on stdout"},
               {"--html", "FILE", "a self-contained page: frames, answers, times, map"}},
              model_group(), input_group(), run_group(), common_group()},
             "A video that cannot be read does not stop the others; the exit status is 5 at the end."},
            run_classify};
}

} // namespace zeroi2v::program
