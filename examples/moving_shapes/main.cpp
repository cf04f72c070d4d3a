// moving_shapes: makes the data of the experiment and writes its tables; run.sh beside it says in which order.
#include "dataset.hpp"
#include "image_model.hpp"
#include "report.hpp"
#include "variants.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/atomic_file.hpp>

#include <CLI/CLI.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace fs = std::filesystem;

void write_text(fs::path const& path, std::string const& text, std::vector<fs::path> const& inputs) {
    zeroi2v::atomic_file file{path, inputs};
    file.write(std::string_view{text});
    file.commit();
}

/// What the commands are told.
struct settings {
    fs::path output{}, variants{}, chart{};
    std::vector<fs::path> folders{};
    std::uint64_t seed = 0;
    std::size_t count = 0;
};

void add_seed(CLI::App& command, settings& into) { command.add_option("--seed", into.seed, "other seeds, other data (default 0)"); }

CLI::App& add_data_command(CLI::App& app, char const* name, char const* what, char const* output, settings& into) {
    auto& command = *app.add_subcommand(name, what);
    command.add_option(output, into.output, "to write")->required();
    command.add_option("--count", into.count, "how many")->required()->check(CLI::Range(1, 1000000));
    add_seed(command, into);
    return command;
}

void report(settings const& given) {
    auto const variants = moving_shapes::read_variants(given.variants);
    auto const results = moving_shapes::read_scores(variants, given.folders);
    write_text(given.output, moving_shapes::tables_of(results, given.folders), {given.variants});
    if (!given.chart.empty()) write_text(given.chart, moving_shapes::chart_of(results), {given.variants, given.output});
}

int run(int argc, char** argv) {
    CLI::App app{"Short videos of moving shapes that only motion tells apart, and what models make of them."};
    app.require_subcommand(1);
    settings given;
    auto& model = *app.add_subcommand("model", "an untrained image model");
    model.add_option("OUT.safetensors", given.output, "to write")->required();
    add_seed(model, given);
    model.callback([&] { moving_shapes::write_image_model(given.output, given.seed); });
    add_data_command(app, "stills", "single frames, labelled with place, size, hue and outline", "OUT.safetensors", given)
        .callback([&] { moving_shapes::write_stills(given.output, given.seed, given.count); });
    add_data_command(app, "clips", "videos to train on, as clips", "OUT.safetensors", given).callback([&] {
        moving_shapes::write_clips(given.output, given.seed, given.count);
    });
    add_data_command(app, "videos", "videos to judge by, as mp4 files, each with its reverse", "FOLDER", given).callback([&] {
        moving_shapes::write_videos(given.output, given.seed, given.count);
    });
    auto& tables = *app.add_subcommand("report", "tables and a chart of finished runs");
    tables.add_option("VARIANTS", given.variants, "variants.txt")->required();
    tables.add_option("FOLDER", given.folders, "of run.sh, one for each seed")->required();
    tables.add_option("-o,--output", given.output, "the tables, Markdown")->required();
    tables.add_option("--chart", given.chart, "the chart, SVG");
    tables.callback([&] { report(given); });
    CLI11_PARSE(app, argc, argv);
    return 0;
}

} // namespace

int main(int argc, char** argv) try {
    return run(argc, argv);
} catch (zeroi2v::error const& fault) {
    std::fprintf(stderr, "moving_shapes: error[%s]: %s\n", std::string{fault.code_name()}.c_str(), fault.what());
    return fault.exit_status();
} catch (std::exception const& fault) {
    std::fprintf(stderr, "moving_shapes: error: %s\n", fault.what());
    return 1;
}
