// The answers of `classify` as one self-contained HTML page.
#pragma once

#include "answers.hpp"

#include <zeroi2v/model/vit_config.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace zeroi2v::program {

/// One frame that the model saw.
struct shown_frame {
    std::int64_t index;
    std::string picture; ///< a data URI
};

/// One video of the page: its answers, or its fault.
struct shown_video {
    std::string name;
    std::optional<std::pair<std::string, std::string>> fault{}; ///< code, message
    std::size_t frames = 0;
    std::vector<std::vector<shown_frame>> views{};
    std::vector<std::pair<std::string, double>> top{}; ///< label, probability
    double decode_s = 0, preprocess_s = 0, model_s = 0;
};

/// What stands above the videos.
struct page_head {
    std::string checkpoint;
    std::string run;      ///< `f32, 2 threads, avx2`
    std::string input;    ///< `dense, interval 16, 3 clips, 1 crop`
    bool merged = false;
    bool untrained = false;
};

/// The page: no script, nothing loaded from elsewhere.
[[nodiscard]] std::string html_page(page_head const& head, vit_config const& config, std::vector<shown_video> const& videos);

} // namespace zeroi2v::program
