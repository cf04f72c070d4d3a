// Runs the program as a user does, and looks at what comes back.
#pragma once

#include <zeroi2v/tensor/stored_tensor.hpp>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cli {

namespace fs = std::filesystem;

/// What a run left behind.
struct outcome {
    int status = -1;    ///< of exit; -signal where a signal ended it
    std::string out;    ///< stdout
    std::string err;    ///< stderr
    double seconds = 0;
    std::size_t peak_bytes = 0; ///< of memory
};

/// How to run, where it is not the plain way.
struct conditions {
    std::map<std::string, std::string> environment{}; ///< added to the caller's; an empty value removes
    fs::path folder{};                                ///< to run in
    enum class output { captured, closed, broken_pipe, full } to = output::captured;
    int signal = 0;                                   ///< sent as soon as `when_exists` has a match
    bool ignoring = false;                            ///< the program starts with `signal` ignored, as under nohup
    std::string when_exists{};                        ///< as `has_match` in `watched`
    fs::path watched{};
    std::size_t address_space = 0;                    ///< RLIMIT_AS in bytes; 0: as it is
    std::size_t file_size = 0;                        ///< RLIMIT_FSIZE in bytes, as `ulimit -f`; 0: as it is
    std::size_t processes = 0;                        ///< RLIMIT_NPROC; 0: as it is. Root has no such limit.
    bool without_rights = false;                      ///< as the user nobody, where the tests run as root
    double limit_s = 60;                              ///< then it is killed, and the test fails
    std::vector<std::string> launcher{};              ///< words in front of the program's: mpirun and its options
    std::function<int(int)> receiver{};               ///< whom `signal` is sent, given the process that was started; none: that one
};

[[nodiscard]] outcome run(std::vector<std::string> const& arguments, conditions const& how = {});

/// Whether a name in `folder` begins with `beginning`. A number at its end is met by greater ones too: of a run's
/// checkpoints only the newest two stay, so a certain one may come and go unseen.
[[nodiscard]] bool has_match(fs::path const& folder, std::string const& beginning);

/// A folder that disappears with the object.
class scratch {
public:
    scratch();
    scratch(scratch const&) = delete;
    scratch& operator=(scratch const&) = delete;
    ~scratch();

    [[nodiscard]] fs::path const& path() const noexcept { return path_; }
    [[nodiscard]] std::string operator/(std::string_view name) const { return (path_ / name).native(); }
    /// Lets every user read and write here.
    void open_to_all() const;
    /// Writes a file and gives its path.
    std::string file(std::string_view name, std::string_view content) const;
    /// Names of all files in it, sorted.
    [[nodiscard]] std::vector<std::string> names() const;

private:
    fs::path path_;
};

/// A path in tests/data.
[[nodiscard]] std::string test_data(std::string_view name);
/// A path in examples/data/moving_shapes: small videos, a list of them, and a model of their classes.
[[nodiscard]] std::string moving_shapes(std::string_view name);
/// examples/data/demo.mp4
[[nodiscard]] std::string demo_video();
[[nodiscard]] std::string content_of(fs::path const& path);

/// Ends with this status and one line on stderr, `zeroi2v: error[code]: ...` with all `parts` in it, and nothing on stdout.
void check_error(outcome const& found, int status, std::string_view code, std::vector<std::string_view> const& parts = {});
/// Ends well, with nothing on stderr.
void check_success(outcome const& found);

/// The largest |a - b| and |a - b|_2 / |b|_2; both infinite where names, shapes or NaNs stand against it.
struct tensor_distance {
    double max_abs;
    double relative_l2;
    double largest; ///< |b|
};
[[nodiscard]] tensor_distance distance(zeroi2v::stored_tensor const& a, zeroi2v::stored_tensor const& b);

} // namespace cli
