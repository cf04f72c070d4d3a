// A regular file that lives in memory only: thousands of damaged files without a disk.
#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>

#include <sys/mman.h>
#include <unistd.h>

namespace test {

class memory_file {
public:
    explicit memory_file(std::string_view bytes) : descriptor_{::memfd_create("zeroi2v-test", MFD_CLOEXEC)} {
        if (descriptor_ < 0) throw std::runtime_error{"no memory file"};
        while (!bytes.empty()) {
            auto const written = ::write(descriptor_, bytes.data(), bytes.size());
            if (written <= 0) throw std::runtime_error{"cannot write a memory file"};
            bytes.remove_prefix(static_cast<std::size_t>(written));
        }
    }
    memory_file(memory_file const&) = delete;
    memory_file& operator=(memory_file const&) = delete;
    ~memory_file() { ::close(descriptor_); }

    /// Leads to the file while this object lives; who has opened it keeps it.
    [[nodiscard]] std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

private:
    int descriptor_;
};

} // namespace test
