#include "options.hpp"

#include "cuda_runner.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/dispatch/dispatch.hpp>
#include <zeroi2v/io/checkpoints/config_json.hpp>
#include <zeroi2v/io/files/atomic_file.hpp>
#include <zeroi2v/io/files/nearest_name.hpp>
#include <zeroi2v/io/files/printable.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <thread>

#include <sched.h>
#include <sys/stat.h>

namespace zeroi2v::program {

std::vector<option_spec> model_group() {
    return {{"--preset", "NAME", "a released model (zeroi2v presets lists them)"},
            {"--config", "FILE.json", "a model configuration; default for both: what the file itself says"}};
}

std::vector<option_spec> input_group() {
    return {{"--sampling", "dense|uniform", "every S-th frame, or spread over the whole video"},
            {"--interval", "S", "frames from one sampled frame to the next (dense)"},
            {"--clips", "N", "clips per video"},
            {"--crops", "1|3", "the centre, or left, right and middle"},
            {"--resize", "S", "short side in pixels before cropping"},
            {"--normalize", "zeroi2v|clip", "mean and deviation of the pixels"},
            {"--average", "prob|score", "join views by probabilities or by logits"},
            {"--lenient", "", "skip damaged frames and say how many"},
            {"--max-packets", "N", "of a video (default 1000000)"},
            {"--max-pixels", "N", "of one frame (default 67108864)"},
            {"--max-total-pixels", "N", "of all decoded frames of a video (default 8796093022208)"}};
}

std::vector<option_spec> run_group() {
    return {{"--dtype", "f32|bf16|f16|int8", "number format of the engine (default f32; f16 on cuda only, int8 on the CPU only)"},
            {"--threads", "N", "1 to 1024 (default: the processors of this process)"},
            {"--device", "cpu|cuda|auto", "default cpu"}};
}

std::vector<option_spec> common_group() {
    return {{"--allow-extra", "", "leave out, with a notice, tensors outside the blocks that are no part of the model"},
            {"--allow-nonfinite", "", "accept NaN and infinity among the weights"},
            {"--quiet", "", "no notices, no progress, no report", 'q'},
            {"--help", "", "this text", 'h'},
            {"--version", "", "the version"}};
}

option_spec output_option(std::string_view value) { return {"--output", value, "the file to write; what stands there is replaced at the end", 'o'}; }

model_options::model_options(arguments const& typed) {
    auto const name = typed.value("--preset");
    auto const file_name = typed.value("--config");
    if (name && file_name) throw usage_error{error_code::bad_option, "--config: given together with --preset, expected one of them"};
    if (name) {
        named = presets::find(*name);
        if (!named) {
            std::vector<std::string_view> names;
            for (auto const& known : presets::all) names.push_back(known.name);
            throw usage_error{error_code::bad_option, "--preset: '" + printable(*name) + "' found, a name that zeroi2v presets lists expected"
                                                          + did_you_mean(*name, names)};
        }
        stated = stated_by(*named);
    }
    if (file_name) {
        config_file = *file_name;
        stated = read_config_file(*config_file);
    }
}

input_options::input_options(arguments const& typed, model_options const& model)  {
    constexpr std::uint64_t most = 1U << 20U;
    auto const size = [&](char const* option, std::uint64_t limit) -> std::optional<std::size_t> {
        auto const number = typed.number(option, 1, limit);
        return number ? std::optional{static_cast<std::size_t>(*number)} : std::nullopt;
    };
    if (auto const text = typed.choice("--sampling", {"dense", "uniform"})) stated.sampling = sampling_from_name(*text);
    if (auto const text = typed.choice("--normalize", {"zeroi2v", "clip"})) stated.normalize = normalization_from_name(*text);
    if (auto const text = typed.choice("--average", {"prob", "score"})) stated.average = average_from_name(*text);
    if (auto const text = typed.choice("--crops", {"1", "3"})) stated.crops = *text == "1" ? 1 : 3;
    stated.interval = size("--interval", most);
    stated.clips = size("--clips", input_limits::clips);
    stated.resize = size("--resize", input_limits::resize);
    decoding.lenient = typed.has("--lenient");
    any = decoding.lenient || stated != stated_input{};
    auto const limit = [&](char const* option, std::uint64_t& value) {
        auto const number = typed.number(option, 1, std::uint64_t{1} << 62U);
        value = number.value_or(value);
        any = any || number.has_value();
    };
    limit("--max-packets", decoding.max_packets);
    limit("--max-pixels", decoding.max_pixels);
    limit("--max-total-pixels", decoding.max_total_pixels);
    if (model.named) stated = or_else(stated, stated_by(model.named->input));
}

std::size_t threads_option(arguments const& typed) {
    if (auto const number = typed.number("--threads", 1, 1024)) return static_cast<std::size_t>(*number);
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    if (::sched_getaffinity(0, sizeof allowed, &allowed) == 0 && CPU_COUNT(&allowed) > 0)
        return std::min<std::size_t>(static_cast<std::size_t>(CPU_COUNT(&allowed)), 1024);
    return std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, 1024);
}

namespace {

device_error no_such_pair(dtype type, std::string const& device, std::string const& reason = {}) {
    return device_error{error_code::unsupported_device, "--dtype: " + std::string{to_option(type)} + " found, on " + device + " expected" + (reason.empty() ? "" : "; " + reason)};
}

constexpr char const* cpu_types = "the CPU f32, bf16 or int8";

} // namespace

run_options::run_options(arguments const& typed, console const& out) : threads{threads_option(typed)} {
    auto const wanted = typed.choice("--dtype", {"f32", "bf16", "int8", "f16"}).value_or("f32");
    auto const asked = typed.choice("--device", {"cpu", "cuda", "auto"}).value_or("cpu");
    type = wanted == "bf16" ? dtype::bf16 : wanted == "int8" ? dtype::i8 : wanted == "f16" ? dtype::f16 : dtype::f32;
    kernels = &kernels_from_environment();
    or_cpu = asked == "auto";
    tells_device = asked != "cpu";
    if (asked == "cpu") {
        if (type == dtype::f16) throw no_such_pair(type, cpu_types);
        return;
    }
    if (type == dtype::i8) {
        if (!or_cpu) throw no_such_pair(type, "cuda f32, bf16 or f16");
        out.notice("--dtype: int8 is the CPU's alone: the model runs on the CPU");
        return;
    }
    try {
        require_cuda();
        device = device_kind::cuda;
    } catch (device_error const& fault) {
        *this = without_device(fault, out);
    }
}

run_options run_options::without_device(device_error const& fault, console const& out) const {
    if (!or_cpu) throw device_error{fault.code(), std::string{"--device: "} + fault.what()};
    if (type == dtype::f16) throw no_such_pair(type, cpu_types, fault.what());
    out.notice(std::string{fault.what()} + ": the model runs on the CPU");
    run_options other = *this;
    other.device = device_kind::cpu;
    return other;
}

std::filesystem::path output_path(arguments const& typed, std::vector<std::filesystem::path> const& inputs, std::string_view option) {
    auto const text = typed.value(option);
    if (!text) throw usage_error{error_code::usage, "-o: missing, the name of the file to write expected"};
    std::filesystem::path const target{*text};
    check_output(target, inputs);
    auto const parent = target.parent_path().empty() ? std::filesystem::path{"."} : target.parent_path();
    for (auto const& path : {target, parent}) {
        struct ::stat status {};
        if (::stat(path.c_str(), &status) == 0 && (status.st_mode & 0222) == 0)
            throw usage_error{error_code::unwritable_output, printable(target.native(), 4096) + ": "
                                                                 + printable(path.native(), 4096) + " is read-only, a writable one expected"};
    }
    return target;
}

} // namespace zeroi2v::program
