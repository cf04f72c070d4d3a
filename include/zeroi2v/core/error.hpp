// The one exception hierarchy: what went wrong as a code, where and how as a sentence.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace zeroi2v {

/// Each failure the library can name. The names are stable: programs print and compare them.
enum class error_code {
    // programmer errors
    precondition,
    // usage
    usage, bad_option, bad_number, unwritable_output, same_file,
    // checkpoint files
    open_failed, read_failed, write_failed, not_safetensors, header_too_small, header_too_large, bad_header_length,
    header_not_utf8, bad_json, duplicate_key, unknown_field, unknown_dtype, unsupported_dtype, bad_offsets, size_mismatch,
    too_many_tensors, name_too_long, too_deep, bad_zip, bad_pickle, bad_tensor, unsupported_layout, no_tensors,
    nonfinite_weight, self_test_failed, already_merged, no_adapters, nonfinite_merge, merge_not_equivalent,
    // model and configuration
    missing_tensors, unexpected_tensors, bad_shape, bad_config, config_mismatch, bad_labels, nonfinite_logits,
    // video
    no_frames, decode_failed, codec_unavailable, format_changed, unsupported_format, limit_exceeded, no_stream,
    // training state
    resume_mismatch, nonfinite_loss, bad_state, ranks_differ, rank_lost,
    // resources
    out_of_memory, thread_unavailable, interrupted,
    // devices
    isa_unavailable, device_unavailable, unsupported_device, device_failed,
};

/// The code's name, spelled as in the enumeration.
[[nodiscard]] constexpr std::string_view to_string(error_code code) noexcept {
    switch (code) {
#define ZEROI2V_CASE(name) case error_code::name: return #name;
        ZEROI2V_CASE(precondition) ZEROI2V_CASE(usage) ZEROI2V_CASE(bad_option) ZEROI2V_CASE(bad_number)
        ZEROI2V_CASE(unwritable_output) ZEROI2V_CASE(same_file) ZEROI2V_CASE(open_failed) ZEROI2V_CASE(read_failed)
        ZEROI2V_CASE(write_failed) ZEROI2V_CASE(not_safetensors) ZEROI2V_CASE(header_too_small)
        ZEROI2V_CASE(header_too_large) ZEROI2V_CASE(bad_header_length) ZEROI2V_CASE(header_not_utf8) ZEROI2V_CASE(bad_json)
        ZEROI2V_CASE(duplicate_key) ZEROI2V_CASE(unknown_field) ZEROI2V_CASE(unknown_dtype)
        ZEROI2V_CASE(unsupported_dtype) ZEROI2V_CASE(bad_offsets) ZEROI2V_CASE(size_mismatch)
        ZEROI2V_CASE(too_many_tensors) ZEROI2V_CASE(name_too_long) ZEROI2V_CASE(too_deep) ZEROI2V_CASE(bad_zip)
        ZEROI2V_CASE(bad_pickle) ZEROI2V_CASE(bad_tensor) ZEROI2V_CASE(unsupported_layout) ZEROI2V_CASE(no_tensors)
        ZEROI2V_CASE(nonfinite_weight) ZEROI2V_CASE(self_test_failed) ZEROI2V_CASE(already_merged)
        ZEROI2V_CASE(no_adapters) ZEROI2V_CASE(nonfinite_merge) ZEROI2V_CASE(merge_not_equivalent)
        ZEROI2V_CASE(missing_tensors) ZEROI2V_CASE(unexpected_tensors) ZEROI2V_CASE(bad_shape) ZEROI2V_CASE(bad_config)
        ZEROI2V_CASE(config_mismatch) ZEROI2V_CASE(bad_labels) ZEROI2V_CASE(nonfinite_logits) ZEROI2V_CASE(no_frames)
        ZEROI2V_CASE(decode_failed) ZEROI2V_CASE(codec_unavailable) ZEROI2V_CASE(format_changed)
        ZEROI2V_CASE(unsupported_format) ZEROI2V_CASE(limit_exceeded) ZEROI2V_CASE(no_stream)
        ZEROI2V_CASE(resume_mismatch) ZEROI2V_CASE(nonfinite_loss) ZEROI2V_CASE(bad_state) ZEROI2V_CASE(ranks_differ)
        ZEROI2V_CASE(rank_lost) ZEROI2V_CASE(out_of_memory)
        ZEROI2V_CASE(thread_unavailable) ZEROI2V_CASE(interrupted) ZEROI2V_CASE(isa_unavailable)
        ZEROI2V_CASE(device_unavailable) ZEROI2V_CASE(unsupported_device) ZEROI2V_CASE(device_failed)
#undef ZEROI2V_CASE
    }
    return "unknown";
}

/// Every exception that the library throws on purpose.
///
/// `what()` reads `file: tensor/frame/option: what was found, what was expected`. `exit_status()` is the status with
/// which a program should end: 1 programmer error, 2 usage, 3 checkpoint, 4 model or configuration, 5 video, 6 training
/// state, 7 resources, 8 device.
class error : public std::runtime_error {
public:
    error(error_code code, int exit_status, std::string const& message)
        : std::runtime_error{message}, code_{code}, exit_status_{exit_status} {}

    [[nodiscard]] error_code code() const noexcept { return code_; }
    [[nodiscard]] std::string_view code_name() const noexcept { return to_string(code_); }
    [[nodiscard]] int exit_status() const noexcept { return exit_status_; }

private:
    error_code code_;
    int exit_status_;
};

namespace detail {
template <int ExitStatus>
class error_of : public error {
public:
    error_of(error_code code, std::string const& message) : error{code, ExitStatus, message} {}
};
} // namespace detail

/// A caller broke a function's contract (see ZEROI2V_REQUIRE).
struct precondition_error : detail::error_of<1> { using error_of::error_of; };
/// Options and arguments of a program.
struct usage_error : detail::error_of<2> { using error_of::error_of; };
/// A file of weights that is missing, damaged, or not what it says.
struct checkpoint_error : detail::error_of<3> { using error_of::error_of; };
/// Sound files and options that do not fit each other or no model.
struct model_error : detail::error_of<4> { using error_of::error_of; };
/// A video that cannot be read as asked.
struct video_error : detail::error_of<5> { using error_of::error_of; };
/// The state of a training run.
struct training_error : detail::error_of<6> { using error_of::error_of; };
/// Memory, threads, space.
struct resource_error : detail::error_of<7> { using error_of::error_of; };
/// An instruction set or an accelerator that is not there.
struct device_error : detail::error_of<8> { using error_of::error_of; };

} // namespace zeroi2v
