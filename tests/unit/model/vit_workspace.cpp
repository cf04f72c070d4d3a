// vit_workspace: every piece as long as its sizes say, on a cache line of its own, none over another, and nothing beside them.
#include <zeroi2v/model/vit_workspace.hpp>

#include <zeroi2v/core/error.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

using namespace zeroi2v;

namespace {

class idle_executor final : public executor {
public:
    explicit idle_executor(int parts) : parts_{parts} {}
    [[nodiscard]] int concurrency() const noexcept override { return parts_; }
    void run(int, function_ref<void(int)>) override {}

private:
    int parts_;
};

constexpr std::size_t padded(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

} // namespace

TEST_CASE("the pieces of a workspace lie side by side") {
    for (std::size_t const threads : {1U, 3U}) {
        workspace_sizes const sizes{.clips = 2, .tokens = 101, .wide = 303, .features = 17, .rows = 5, .narrow = 11, .adapted = 13, .hidden = 29, .rank = 7, .matmul_bytes = 1001, .attention = 19};
        idle_executor workers{static_cast<int>(threads)};
        vit_workspace workspace{sizes, workers};
        CHECK((workspace.clips() == 2 && workspace.threads() == threads && workspace.sizes() == sizes && &workspace.workers() == &workers));
        std::vector<std::pair<std::byte*, std::size_t>> pieces;
        auto const floats = [&](float* at, std::size_t count) { pieces.emplace_back(reinterpret_cast<std::byte*>(at), count * sizeof(float)); };
        floats(workspace.tokens(), 101);
        floats(workspace.wide(), 303);
        floats(workspace.features(), 17);
        for (std::size_t part = 0; part < threads; ++part) {
            block_scratch const scratch = workspace.scratch(part);
            CHECK(scratch.rows == 5);
            CHECK(scratch.matmul.size() == 1001);
            CHECK(scratch.times.empty());
            floats(scratch.narrow, 55);
            floats(scratch.adapted, 65);
            floats(scratch.hidden, 145);
            floats(scratch.rank, 35);
            pieces.emplace_back(scratch.matmul.data(), 1001);
        }
        CHECK(workspace.attention_scratch().size() == 19 * threads);
        floats(workspace.attention_scratch().data(), 19 * threads);
        std::size_t bytes = 0;
        for (auto const& [at, size] : pieces) {
            CHECK(reinterpret_cast<std::uintptr_t>(at) % 64 == 0);
            CHECK(at == pieces.front().first + bytes); // one after the other, each padded to a cache line
            bytes += padded(size);
            std::memset(at, 0x5a, size); // AddressSanitizer sees what is beyond
        }
        CHECK(workspace.bytes() == bytes);
    }
}

TEST_CASE("a part that a model does not need takes nothing; a size that overflows is an error, whichever it is") {
    workspace_sizes const small{.clips = 1, .tokens = 16, .wide = 48, .features = 16, .rows = 2, .narrow = 16};
    serial_executor workers;
    vit_workspace const workspace{small, workers};
    CHECK(workspace.bytes() == 64 + 192 + 64 + 128);
    constexpr std::size_t most = std::numeric_limits<std::size_t>::max(), half = most / 2;
    auto const refused = [&](auto change) {
        workspace_sizes sizes = small;
        change(sizes);
        CHECK_THROWS_WITH_AS((vit_workspace{sizes, workers}), "workspace: the number of bytes overflows", model_error);
    };
    refused([](workspace_sizes& s) { s.tokens = most; });
    refused([](workspace_sizes& s) { s.wide = most / 4 + 1; });
    refused([](workspace_sizes& s) { s.features = most / 4 - 3; }); // the padding overflows
    refused([](workspace_sizes& s) { s.narrow = half + 1; });       // times the rows
    refused([](workspace_sizes& s) { s.adapted = half + 1; });
    refused([](workspace_sizes& s) { s.hidden = half + 1; });
    refused([](workspace_sizes& s) { s.rank = half + 1; });
    refused([](workspace_sizes& s) { s.matmul_bytes = most - 10; });
    refused([](workspace_sizes& s) { s.attention = most; });
    refused([](workspace_sizes& s) { s.tokens = s.wide = s.features = most / 8; }); // their sum
    workspace_sizes large = small;
    large.tokens = most / 64;
    CHECK_THROWS_AS((vit_workspace{large, workers}), resource_error);
}

TEST_CASE("a workspace with a team of its own, measured") {
    workspace_sizes const sizes{.clips = 1, .tokens = 16, .wide = 16, .features = 16, .rows = 1, .narrow = 16};
    vit_workspace workspace{sizes, 2};
    CHECK(workspace.threads() == 2);
    CHECK(workspace.thread_times().empty());
    CHECK(workspace.times().total() == 0);
    workspace.measure();
    REQUIRE(workspace.thread_times().size() == 2);
    for (std::size_t part = 0; part < 2; ++part) {
        REQUIRE(workspace.scratch(part).times.size() == 1);
        CHECK(&workspace.scratch(part).times[0] == &workspace.thread_times()[part]);
        workspace.scratch(part).times[0][op_group::qkv] = static_cast<double>(part + 1);
    }
    CHECK(workspace.times()[op_group::qkv] == 3);
    workspace.measure();
    CHECK(workspace.times().total() == 0);
}
