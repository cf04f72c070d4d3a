// The code of docs/extending.md; tests/snippets/check.sh compares the two.
#include <zeroi2v/io/checkpoints/vit_io.hpp>
#include <zeroi2v/io/keys/key_schemes.hpp>
#include <zeroi2v/zeroi2v.hpp>

#include <filesystem>
#include <functional>
#include <utility>
#include <vector>

namespace {

// 16 heads of ViT-L/14, 16 frames: two heads look back, two ahead, one far back.
constexpr zeroi2v::preset mine{.name = "my-l14-16f",
                               .sizes = {.image_size = 224, .patch_size = 14, .frames = 16, .width = 1024, .layers = 24, .heads = 16,
                                         .mlp_width = 4096, .classes = 12},
                               .head_offsets = {-1, -1, 1, 1, -4},
                               .adapter_scale = 0.5,
                               .input = {.sampling = zeroi2v::sampling_method::uniform, .clips = 1, .crops = 3},
                               .labels = ""};

// Runs the parts on a pool that the application has anyway.
class pool_executor final : public zeroi2v::executor {
public:
    using post_function = std::function<void(std::function<void()>)>; // runs its argument some time, on some thread

    pool_executor(int threads, post_function post, std::function<void()> wait_for_all)
        : threads_{threads}, post_{std::move(post)}, wait_{std::move(wait_for_all)} {}

    [[nodiscard]] int concurrency() const noexcept override { return threads_; }
    void run(int parts, zeroi2v::function_ref<void(int)> work) override {
        std::vector<std::exception_ptr> failures(static_cast<std::size_t>(parts < 0 ? 0 : parts));
        for (int part = 0; part < parts; ++part)
            post_([part, work, &failures] {
                try {
                    work(part);
                } catch (...) {
                    failures[static_cast<std::size_t>(part)] = std::current_exception();
                }
            });
        wait_();
        for (auto const& failure : failures)
            if (failure) std::rethrow_exception(failure);
    }

private:
    int threads_;
    post_function post_;
    std::function<void()> wait_;
};

} // namespace

zeroi2v::adapted_vit load_mine(std::filesystem::path const& path) {
    return zeroi2v::load_adapted_vit(zeroi2v::load_checkpoint(path), mine);
}

void compute_on(zeroi2v::executor& workers, zeroi2v::merged_vit const& model, zeroi2v::view<float const, 4> clip, std::span<float> out) {
    zeroi2v::vit_engine const engine{model};
    auto workspace = engine.make_workspace(/*clips*/ 1, workers); // the executor outlives the workspace
    engine.forward(clip, workspace, out);
}

[[maybe_unused]] pool_executor make_executor(int threads, pool_executor::post_function post, std::function<void()> wait) {
    return {threads, std::move(post), std::move(wait)};
}
