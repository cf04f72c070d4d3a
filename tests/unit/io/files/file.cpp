// Regular files only; whole reads or typed errors; what a file is by its first bytes.
#include <zeroi2v/io/files/file.hpp>

#include "../faults.hpp"
#include "../temporary_folder.hpp"

#include <zeroi2v/io/checkpoint.hpp>
#include <zeroi2v/io/files/file_kind.hpp>
#include <zeroi2v/io/safetensors/safetensors.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace {

using test::fault_of;
using zeroi2v::error_code;
using zeroi2v::file_kind;

[[nodiscard]] test::fault fault_of_opening(std::filesystem::path const& path) {
    auto const start = std::chrono::steady_clock::now();
    auto f = fault_of([&] { zeroi2v::file const opened{path}; });
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds{2});
    return f;
}

[[nodiscard]] file_kind kind_of(std::string_view bytes) {
    return zeroi2v::detect_kind(
        std::as_bytes(std::span{bytes.data(), std::min<std::size_t>(bytes.size(), zeroi2v::detect_kind_bytes)}),
        bytes.size());
}

} // namespace

TEST_CASE("A16: what is no regular file is refused and not waited for") {
    test::temporary_folder const folder;
    auto const missing = fault_of_opening(folder / "missing");
    CHECK_FAULT(missing, error_code::open_failed, 3);
    CHECK(missing.says("No such file"));
    auto const a_folder = fault_of_opening(folder.path());
    CHECK_FAULT(a_folder, error_code::open_failed, 3);
    CHECK(a_folder.says("is a folder"));
    REQUIRE(::mkfifo((folder / "fifo").c_str(), 0600) == 0);
    auto const fifo = fault_of_opening(folder / "fifo");
    CHECK_FAULT(fifo, error_code::open_failed, 3);
    CHECK(fifo.says("is a FIFO"));
    for (char const* const device : {"/dev/zero", "/dev/null", "/dev/full"}) {
        auto const f = fault_of_opening(device);
        CHECK_FAULT(f, error_code::open_failed, 3);
        CHECK(f.says("is a device"));
    }
    ::sockaddr_un address{};
    address.sun_family = AF_UNIX;
    auto const path = (folder / "socket").native();
    REQUIRE(path.size() < sizeof address.sun_path);
    std::copy(path.begin(), path.end(), address.sun_path);
    int const socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE(::bind(socket, reinterpret_cast<::sockaddr const*>(&address), sizeof address) == 0);
    CHECK_FAULT(fault_of_opening(path), error_code::open_failed, 3);
    ::close(socket);
    CHECK_FAULT(fault_of_opening(""), error_code::open_failed, 3);
    CHECK_FAULT(fault_of_opening(std::string(5000, 'x')), error_code::open_failed, 3);
    CHECK_FAULT(fault_of_opening(folder / "a" / "b"), error_code::open_failed, 3);
    std::filesystem::create_symlink("loop", folder / "loop");
    CHECK_FAULT(fault_of_opening(folder / "loop"), error_code::open_failed, 3);
    test::write_file(folder / "secret", "x");
    ::chmod((folder / "secret").c_str(), 0);
    if (::geteuid() != 0) CHECK_FAULT(fault_of_opening(folder / "secret"), error_code::open_failed, 3);
    test::write_file(folder / "plain", "x");
    CHECK_FAULT(fault_of_opening(folder / "plain" / "below"), error_code::open_failed, 3);
}

TEST_CASE("messages keep to one line") {
    auto const f = fault_of_opening("/nowhere/a\nb\x01\x7F.pth");
    CHECK(f.says("a\\nb\\u0001\\u007f.pth"));
    CHECK(f.message.find('\n') == std::string::npos);
}

TEST_CASE("ranges inside the file are read whole, others are refused") {
    test::temporary_folder const folder;
    test::write_file(folder / "f", "0123456789");
    zeroi2v::file const opened{folder / "f"};
    CHECK(opened.size() == 10);
    for (std::size_t offset = 0; offset <= 10; ++offset) {
        for (std::size_t length = 0; length <= 12; ++length) {
            std::vector<std::byte> out(length, std::byte{'?'});
            auto const f = fault_of([&] { opened.read_at(offset, out); });
            CHECK(f.thrown == (offset + length > 10));
            if (f.thrown)
                CHECK(f.code == error_code::read_failed);
            else
                CHECK(std::string_view{reinterpret_cast<char const*>(out.data()), length}
                      == std::string_view{"0123456789"}.substr(offset, length));
        }
    }
    std::vector<std::byte> out(1);
    CHECK_FAULT(fault_of([&] { opened.read_at(11, {}); }), error_code::read_failed, 3);
    CHECK_FAULT(fault_of([&] { opened.read_at(std::numeric_limits<std::uint64_t>::max(), out); }),
                error_code::read_failed, 3);
}

TEST_CASE("A16: a file that is truncated while it is open") {
    test::temporary_folder const folder;
    test::write_file(folder / "f", std::string(100'000, 'x'));
    zeroi2v::file const opened{folder / "f"};
    std::filesystem::resize_file(folder / "f", 50'000);
    std::vector<std::byte> out(60'000);
    auto const f = fault_of([&] { opened.read_at(0, out); });
    CHECK_FAULT(f, error_code::read_failed, 3);
    CHECK(f.says("truncated"));
    CHECK(f.says("50000"));

    zeroi2v::safetensors_file const tensors{[&] {
        std::string const json = R"({"w":{"dtype":"U8","shape":[4096],"data_offsets":[0,4096]}}     )";
        std::string bytes(8, '\0');
        bytes[0] = static_cast<char>(json.size());
        test::write_file(folder / "t", bytes + json + std::string(4096, 'y'));
        return folder / "t";
    }()};
    CHECK(tensors.read("w").bytes()[4095] == std::byte{'y'});
    std::filesystem::resize_file(folder / "t", 1000);
    CHECK_FAULT(fault_of([&] { static_cast<void>(tensors.read("w")); }), error_code::read_failed, 3);
}

TEST_CASE("one file by any link, moves") {
    test::temporary_folder const folder;
    test::write_file(folder / "a", "x");
    test::write_file(folder / "b", "x");
    std::filesystem::create_symlink(folder / "a", folder / "soft");
    std::filesystem::create_hard_link(folder / "a", folder / "hard");
    zeroi2v::file a{folder / "a"};
    CHECK(a.identity() == zeroi2v::file{folder / "soft"}.identity());
    CHECK(a.identity() == zeroi2v::file{folder / "hard"}.identity());
    CHECK_FALSE(a.identity() == zeroi2v::file{folder / "b"}.identity());
    zeroi2v::file moved{std::move(a)};
    std::byte one{};
    moved.read_at(0, {&one, 1});
    CHECK(one == std::byte{'x'});
    moved = zeroi2v::file{folder / "b"};
    CHECK(moved.path() == folder / "b");
    for (int i = 0; i < 5000; ++i)
        static_cast<void>(
            fault_of([&] { zeroi2v::file const leaks{folder.path()}; })); // beyond the limit of descriptors
    CHECK_FALSE(fault_of_opening(folder / "a").thrown);
}

TEST_CASE("what files are") {
    using namespace std::string_literals;
    CHECK(kind_of("") == file_kind::empty);
    CHECK(kind_of("PK\x03\x04rest") == file_kind::zip);
    CHECK(kind_of("PK\x05\x06"s + std::string(18, '\0')) == file_kind::zip);
    CHECK(kind_of("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."s) == file_kind::pickle);
    CHECK(kind_of("\x80\x04\x95"s) == file_kind::pickle);
    CHECK(kind_of("\x80\x02\0\0\0\0\0\0{}"s) == file_kind::unknown); // a header length of 640 in a file of 10
    CHECK(kind_of("\x80\x02\0\0\0\0\0\0{"s + std::string(640, ' ')) == file_kind::safetensors);
    CHECK(kind_of("\x02\0\0\0\0\0\0\0{}"s) == file_kind::safetensors);
    CHECK(kind_of("\x03\0\0\0\0\0\0\0{}"s) == file_kind::unknown);
    CHECK(kind_of("PK\x03\x04\0\0\0\0{}"s) == file_kind::zip);
    CHECK(kind_of("\xff\xff\xff\xff\xff\xff\xff\xff{}") == file_kind::unknown);
    CHECK(kind_of("\0\0\0\0\0\0\0\x80{}"s) == file_kind::unknown);
    CHECK(kind_of(std::string(257, 'a') + "ustar\0"s + std::string(300, '\0')) == file_kind::tar);
    CHECK(kind_of("GGUF\x03\0\0\0"s) == file_kind::gguf);
    CHECK(kind_of("\x89HDF\r\n\x1a\n") == file_kind::hdf5);
    CHECK(kind_of("\x93NUMPY\x01\0"s) == file_kind::numpy);
    CHECK(kind_of("\x1f\x8b\x08") == file_kind::gzip);
    CHECK(kind_of("version https://git-lfs.github.com/spec/v1\n") == file_kind::git_lfs_pointer);
    CHECK(kind_of("<!DOCTYPE html>") == file_kind::html);
    CHECK(kind_of("  {\"a\": 1}") == file_kind::json);
    CHECK(kind_of("[1]") == file_kind::json);
    CHECK(kind_of("some words") == file_kind::text);
    CHECK(kind_of("Gr\xC3\xBC\xC3\x9F"s + "e") == file_kind::text);
    CHECK(kind_of(std::string(511, 'a') + "\xC3\xBC") == file_kind::text); // cut in the middle of a character
    CHECK(kind_of(std::string(400, 'a') + "\xC3" + std::string(200, 'a')) == file_kind::unknown);
    CHECK(kind_of("\0\0\0\x18"
                  "ftypmp42"s)
          == file_kind::iso_media);
    CHECK(kind_of("\x7f"
                  "ELF")
          == file_kind::elf);
    for (int i = 0; i <= static_cast<int>(file_kind::pdf); ++i)
        CHECK_FALSE(zeroi2v::describe(static_cast<file_kind>(i)).empty());
}

TEST_CASE("checkpoints are opened by what they are, not by their names") {
    std::filesystem::path const formats = std::filesystem::path{ZEROI2V_TEST_DATA} / "formats";
    test::temporary_folder const folder;
    auto const renamed = [&](char const* from, char const* to) {
        std::filesystem::copy_file(formats / from, folder / to, std::filesystem::copy_options::overwrite_existing);
        return zeroi2v::load_checkpoint(folder / to);
    };
    CHECK(renamed("half.pth", "a.safetensors").kind() == zeroi2v::checkpoint_kind::torch_zip);
    CHECK(renamed("clip_torchscript.pt", "b.bin").kind() == zeroi2v::checkpoint_kind::torchscript);
    auto const plain = renamed("expected_f32.safetensors", "c.pth");
    CHECK(plain.kind() == zeroi2v::checkpoint_kind::safetensors);
    CHECK(plain.path() == (folder / "c.pth").native());
    CHECK(plain.metadata().empty());
    CHECK(plain.find("cls_head.fc_cls.bias") != nullptr);
    CHECK(plain.find("cls_head") == nullptr);
    CHECK(plain.read("cls_head.fc_cls.bias").sizes() == zeroi2v::shape{5});
    CHECK_FAULT(fault_of([&] { static_cast<void>(plain.read("no")); }), error_code::missing_tensors, 4);

    auto const refused = [&](char const* name, std::string const& bytes) {
        test::write_file(folder / name, bytes);
        return fault_of([&] { static_cast<void>(zeroi2v::load_checkpoint(folder / name)); });
    };
    using namespace std::string_literals;
    CHECK_FAULT(refused("x.pth", ""), error_code::header_too_small, 3);
    CHECK_FAULT(refused("x.pth", "version https://git-lfs.github.com/spec/v1\noid"), error_code::not_safetensors, 3);
    CHECK_FAULT(refused("x.pth", "{\"state_dict\": {}}"), error_code::not_safetensors, 3);
    CHECK_FAULT(refused("x.pth", "\x02\0\0\0\0\0\0\0{}"s), error_code::no_tensors, 3);
    CHECK_FAULT(refused("x.safetensors", std::string(257, 'a') + "ustar\0"s + std::string(300, '\0')),
                error_code::unsupported_layout, 3);
    CHECK_FAULT(fault_of([&] { static_cast<void>(zeroi2v::load_checkpoint(formats / "legacy.pth")); }),
                error_code::unsupported_layout, 3);
}
