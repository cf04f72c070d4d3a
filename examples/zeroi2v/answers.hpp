// From the logits of several views to one answer with names.
#pragma once

#include <zeroi2v/model/input_config.hpp>
#include <zeroi2v/tensor/tensor_view.hpp>

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace zeroi2v::program {

/// One class and how probable it is.
struct ranked_class {
    std::size_t index;
    double probability;
};

/// Refuses logits that are not finite: no answer may come of them.
/// Errors  model_error nonfinite_logits with count and first place. `what` names the video or file.
void require_finite(view<float const, 2> logits, std::string const& what);

/// Probabilities (K) of the views' logits (V,K): the mean of each view's softmax, or the softmax of the mean logits.
[[nodiscard]] std::vector<double> join_views(view<float const, 2> logits, view_average average);

/// The `count` most probable classes, the most probable first, equal ones by index.
[[nodiscard]] std::vector<ranked_class> most_probable(std::vector<double> const& probabilities, std::size_t count);

/// Class names; may be none.
class class_names {
public:
    class_names() = default;

    /// One name per line; empty lines at the end do not count.
    /// Errors  unreadable, UTF-16 -> usage_error; another number than `classes` -> model_error bad_labels.
    /// Cost    memory of the file's size and of `classes` names.
    [[nodiscard]] static class_names from_file(std::filesystem::path const& path, std::size_t classes);

    /// The built-in names of a data set, where there are `classes` of them; else none.
    [[nodiscard]] static class_names built_in(std::string_view data_set, std::size_t classes);

    [[nodiscard]] std::optional<std::string> operator[](std::size_t index) const {
        return index < names_.size() ? std::optional{names_[index]} : std::nullopt;
    }
    /// The name, or `class 17`.
    [[nodiscard]] std::string shown(std::size_t index) const;

private:
    std::vector<std::string> names_;
};

} // namespace zeroi2v::program
