// compare: two files of tensors, tensor by tensor.
#include "checkpoint_source.hpp"
#include "commands.hpp"
#include "options.hpp"

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/checkpoint.hpp>
#include <zeroi2v/io/checkpoints/canonical_source.hpp>
#include <zeroi2v/io/files/printable.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zeroi2v::program {
namespace {

/// A file's tensors by the names they are compared under.
class tensor_list {
public:
    explicit tensor_list(std::filesystem::path const& path) : file_{open_checkpoint(path)} {
        for (auto const& info : file_.tensors()) raw_.emplace(info.name, &info);
    }

    [[nodiscard]] checkpoint const& file() const noexcept { return file_; }
    [[nodiscard]] std::map<std::string_view, tensor_info const*> const& names() const noexcept { return source_ ? canonical_ : raw_; }
    /// Those that are there and cannot be read.
    [[nodiscard]] std::span<unreadable_tensor const> unreadable() const noexcept { return source_ ? source_->unreadable() : file_.unreadable(); }
    [[nodiscard]] stored_tensor read(std::string_view name) const { return source_ ? source_->read(name) : file_.read(name); }

    /// Goes over to ZeroI2V's names; false where the file is no model.
    bool use_canonical_names() {
        try {
            source_.emplace(file_);
        } catch (error const&) {
            return false;
        }
        for (auto const& info : source_->tensors()) canonical_.emplace(info.name, &info);
        return true;
    }
    void use_own_names() { source_.reset(); }
    /// How many tensors have no canonical name.
    [[nodiscard]] std::size_t left_out() const noexcept { return source_ ? source_->ignored().size() + source_->left_over().size() : 0; }

private:
    checkpoint file_;
    std::map<std::string_view, tensor_info const*> raw_, canonical_;
    std::optional<canonical_source> source_;
};

struct distance {
    double max_abs = 0;
    double relative_l2 = 0;
    bool same_bits = false;
};

template <class T>
double load(std::byte const* at) noexcept {
    T value;
    std::memcpy(&value, at, sizeof value);
    return static_cast<double>(value);
}

double element(stored_tensor const& tensor, std::size_t i) {
    if (is_packed(tensor.type())) return std::numeric_limits<double>::quiet_NaN(); // as below
    std::byte const* const at = tensor.bytes().data() + i * size_of(tensor.type());
    switch (tensor.type()) {
    case dtype::boolean: case dtype::u8: return load<std::uint8_t>(at);
    case dtype::i8: return load<std::int8_t>(at);
    case dtype::i16: return load<std::int16_t>(at);
    case dtype::u16: return load<std::uint16_t>(at);
    case dtype::i32: return load<std::int32_t>(at);
    case dtype::u32: return load<std::uint32_t>(at);
    case dtype::i64: return load<std::int64_t>(at);
    case dtype::u64: return load<std::uint64_t>(at);
    case dtype::f16: case dtype::bf16: case dtype::f32: case dtype::f64: return tensor.value(i);
    default: return std::numeric_limits<double>::quiet_NaN(); // small floats and complex numbers: equal bits are seen before
    }
}

/// |b - a| and |b - a|_2 / |a|_2. Equal values differ by 0, infinities and NaNs of the same place too; a NaN on one side only is NaN.
distance distance_of(stored_tensor const& a, stored_tensor const& b) {
    distance result;
    if (a.type() == b.type() && std::ranges::equal(a.bytes(), b.bytes())) {
        result.same_bits = true;
        return result;
    }
    long double squares = 0, norm = 0; // squares of doubles overflow doubles
    bool unequal_nan = false;
    for (std::size_t i = 0; i < a.count(); ++i) {
        double const x = element(a, i), y = element(b, i);
        if (std::isfinite(x)) norm += static_cast<long double>(x) * x;
        if (x == y || (std::isnan(x) && std::isnan(y) && a.type() == b.type())) continue;
        double const d = std::abs(y - x);
        unequal_nan = unequal_nan || std::isnan(d);
        result.max_abs = std::max(result.max_abs, d);
        squares += static_cast<long double>(d) * d;
    }
    result.relative_l2 = squares == 0 ? 0 : norm == 0 ? std::numeric_limits<double>::infinity() : static_cast<double>(std::sqrt(squares / norm));
    if (unequal_nan) result.max_abs = result.relative_l2 = std::numeric_limits<double>::quiet_NaN();
    return result;
}

/// The larger one; a NaN is larger than everything.
bool exceeds(double a, double b) noexcept { return std::isnan(a) ? !std::isnan(b) : a > b; }

std::string column(std::string text, std::size_t width) {
    text.append(width - std::min(width, text.size()), ' ');
    return text + "  ";
}

std::string figure(double value) { return std::isnan(value) ? "nan" : std::isinf(value) ? "inf" : scientific(value, 4); }

int run_compare(arguments const& typed, console const& out) {
    std::filesystem::path const first_path = *typed.operand(0), second_path = *typed.operand(1);
    tensor_list a{first_path}, b{second_path};
    bool const same_names = std::ranges::equal(a.names(), b.names(), {}, [](auto const& e) { return e.first; }, [](auto const& e) { return e.first; });
    if (!same_names) {
        bool const both_models = a.use_canonical_names() && b.use_canonical_names();
        if (!both_models) {
            a.use_own_names();
            b.use_own_names();
        }
    }
    std::set<std::string_view> names;
    std::size_t width = 6;
    for (auto const* const list : {&a, &b})
        for (auto const& [name, info] : list->names()) {
            names.insert(name);
            width = std::max(width, std::min<std::size_t>(printable(name).size(), 80));
        }

    std::map<std::string_view, std::pair<std::string_view, std::string_view>> unreadable; // name -> kind, file
    for (auto const* const list : {&a, &b})
        for (auto const& each : list->unreadable()) {
            unreadable.try_emplace(each.name, each.kind, list->file().path());
            names.erase(each.name);
        }

    std::string text = column("tensor", width) + column("shape", 16) + column("dtype", 10) + column("max abs", 10) + "relative L2\n";
    std::size_t compared = 0, equal = 0, only_a = 0, only_b = 0, other_shape = 0;
    std::pair<double, std::string> largest_abs{-1, ""}, largest_l2{-1, ""};
    progress shown{out, "tensors", names.size()};
    std::size_t done = 0;
    for (auto const name : names) {
        auto const in_a = a.names().find(name), in_b = b.names().find(name);
        std::string const left = column(printable(name), width);
        if (in_a == a.names().end() || in_b == b.names().end()) {
            bool const first = in_a != a.names().end();
            (first ? only_a : only_b) += 1;
            auto const& info = first ? *in_a->second : *in_b->second;
            text += left + column(to_string(info.sizes), 16) + column(std::string{dtype_name(info.type)}, 10) + (first ? "only in A\n" : "only in B\n");
            continue;
        }
        auto const& x = *in_a->second;
        auto const& y = *in_b->second;
        std::string const types = std::string{dtype_name(x.type)} + (x.type == y.type ? "" : "|" + std::string{dtype_name(y.type)});
        if (x.sizes != y.sizes) {
            other_shape += 1;
            text += left + column(to_string(x.sizes) + "|" + to_string(y.sizes), 16) + column(types, 10) + "shapes differ\n";
            continue;
        }
        auto const d = distance_of(a.read(name), b.read(name));
        compared += 1;
        equal += d.same_bits ? 1U : 0U;
        if (exceeds(d.max_abs, largest_abs.first)) largest_abs = {d.max_abs, printable(name)};
        if (exceeds(d.relative_l2, largest_l2.first)) largest_l2 = {d.relative_l2, printable(name)};
        text += left + column(to_string(x.sizes), 16) + column(types, 10) + column(figure(d.max_abs), 10) + figure(d.relative_l2) + "\n";
        shown.step(++done);
    }
    for (auto const& [name, what] : unreadable) text += column(printable(name), width) + std::string{what.first} + "\n";
    text += "compared " + std::to_string(compared) + " tensors, " + std::to_string(equal) + " equal bit for bit";
    if (compared > 0)
        text += "; largest max abs " + figure(largest_abs.first) + " (" + largest_abs.second + "), largest relative L2 " + figure(largest_l2.first) + " ("
                + largest_l2.second + ")";
    text += "\n";
    if (auto const left_out = a.left_out() + b.left_out(); left_out > 0) text += std::to_string(left_out) + " tensors that are no part of the model were left out\n";
    out.print_unless_quiet(text);

    if (!unreadable.empty()) {
        auto const& [name, what] = *unreadable.begin();
        throw checkpoint_error{error_code::unsupported_dtype, std::string{what.second} + ": tensor " + quoted_name(name) + ": " + std::string{what.first}
                                                                  + (unreadable.size() > 1 ? " (and " + std::to_string(unreadable.size() - 1) + " more)" : "")};
    }
    if (only_a + only_b + other_shape > 0) {
        auto const code = other_shape > 0 ? error_code::bad_shape : only_a > 0 ? error_code::missing_tensors : error_code::unexpected_tensors;
        throw model_error{code, b.file().path() + ": compared with " + a.file().path() + ": " + std::to_string(only_a) + " tensors missing, "
                                    + std::to_string(only_b) + " left over, " + std::to_string(other_shape) + " of another shape, the same names and shapes expected"};
    }
    return 0;
}

} // namespace

command compare_command() {
    return {{"compare",
             "compares two checkpoints or outputs, tensor by tensor",
             {{"A", "the reference"}, {"B", "what is compared with it"}},
             {common_group()},
             "max abs is the largest |B - A|, relative L2 is |B - A| / |A|. Models are compared under ZeroI2V's names.\n"
             "Exit status 0 where both hold the same names and shapes, however far the values are; 4 where they do not, 3 where a tensor cannot be read."},
            run_compare};
}

} // namespace zeroi2v::program
