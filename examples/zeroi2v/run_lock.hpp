// The lock of a training run: OUT.lock, so that two runs do not write beside each other.
#pragma once

#include <zeroi2v/io/files/file.hpp>

#include <filesystem>
#include <span>
#include <string>

namespace zeroi2v::program {

/// Holds OUT.lock while it lives. The name is not the user's, so nothing that stood there is lost: an empty regular file, such
/// as a killed run leaves, is locked and left in place; anything else is refused. What this object made it removes, where the
/// name still leads to that file and the file is still empty; a signal that ends the program removes it too. One at a time.
class run_lock {
public:
    /// Errors  held by another run -> training_error bad_state; one of `others`, which the run reads or writes -> usage_error
    ///         same_file; no empty regular file, or not to be opened -> usage_error unwritable_output;
    ///         no descriptor left -> resource_error open_failed.
    run_lock(std::filesystem::path const& output, std::span<std::filesystem::path const> others);
    run_lock(run_lock const&) = delete;
    run_lock& operator=(run_lock const&) = delete;
    ~run_lock();

    [[nodiscard]] static std::filesystem::path path_of(std::filesystem::path const& output) { return output.native() + ".lock"; }

private:
    void open(std::span<std::filesystem::path const> others);
    [[nodiscard]] bool is_in_place() const noexcept;

    std::filesystem::path path_;
    int descriptor_ = -1;
    bool made_ = false;
    file_identity identity_{};
};

} // namespace zeroi2v::program
