// The code of docs/video.md; tests/snippets/check.sh compares the two.
#include <zeroi2v/model/presets.hpp>
#include <zeroi2v/video/preprocess.hpp>

#include <array>
#include <cstdio>

void from_a_file() {
    auto const& preset = zeroi2v::presets::clip_b16_k400_8f;
    auto const video = zeroi2v::preprocess_video("video.mp4", preset.input, preset.sizes.frames, preset.sizes.image_size);
    // video.clip (V,T,3,S,S), video.indices (V,T): which frames were taken
    std::printf("%zu views of %zu frames decoded\n", video.clip.extent(0), video.report.decoded);
}

void with_a_decoder_of_your_own(zeroi2v::image_view (*frame_at)(std::size_t), std::size_t frame_count) {
    zeroi2v::input_config const input{.sampling = zeroi2v::sampling_method::uniform, .clips = 1, .crops = 3, .resize = 224};
    zeroi2v::frame_sampler const sampler{.method = input.sampling, .frames = 8, .interval = input.interval, .clips = input.clips};
    zeroi2v::view_builder views{input, /*image_size*/ 224, sampler.sample(frame_count)};
    for (std::size_t const index : views.wanted()) views.put(index, frame_at(index)); // each once, in any order
    zeroi2v::clip_tensor const clip = std::move(views).clip();                        // (3,8,3,224,224)
    static_cast<void>(clip);
}

void for_a_device() {
    auto const& preset = zeroi2v::presets::clip_b16_k400_8f;
    zeroi2v::video_reader reader{"video.mp4", {.threads = 2}};
    zeroi2v::sampled_video const sampled = zeroi2v::sample_video(reader, preset.input, preset.sizes.frames, preset.sizes.image_size);
    // clip c, frame t shows sampled.frames[sampled.shown[c * T + t]]
    static_cast<void>(sampled);
}

void only_frames() {
    std::array<std::size_t, 3> const wanted{0, 10, 20};
    auto const decoded = zeroi2v::decode_frames("video.mp4", wanted, {.lenient = true, .threads = 2, .max_packets = 100'000});
    zeroi2v::image const small = zeroi2v::resize(zeroi2v::view_pixels(decoded.frames[1]), {120, 160});
    static_cast<void>(small);
}
