// torch_tensor: how a PyTorch pickle describes one tensor, and the proof that the description fits its storage.
#pragma once

#include <zeroi2v/core/checked.hpp>
#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/files/printable.hpp>
#include <zeroi2v/io/torch/pickle_graph.hpp>
#include <zeroi2v/io/torch/strided_read.hpp>
#include <zeroi2v/tensor/stored_tensor.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace zeroi2v::detail {

/// A call that makes a tensor: of which function, with what.
struct torch_rebuild {
    std::string_view module, function; ///< `torch._utils`, but for classes that rebuild themselves
    pickle_value arguments;            ///< a tuple
};

/// The tensor that `value` describes, seen through parameters and subclasses; nothing where it is no tensor.
[[nodiscard]] inline std::optional<torch_rebuild> as_torch_tensor(pickle_graph const& graph, pickle_value value) {
    pickle_value callable = graph.callable(value), arguments = graph.arguments(value);
    bool subclass = false;
    for (std::size_t level = 0; level < pickle_graph::max_depth; ++level) {
        auto const global = graph.global(callable);
        auto const items = graph.items(arguments);
        if (!global) return std::nullopt;
        auto const [module, name] = *global;
        if (module == "torch._tensor" && name == "_rebuild_from_type_v2" && items.size() >= 3) {
            callable = items[0]; // (function, class, arguments, state): function(*arguments), then made a class
            arguments = items[2];
            subclass = true;
        } else if (module == "torch._utils" && (name == "_rebuild_parameter" || name == "_rebuild_parameter_with_state")
                   && !items.empty()) {
            callable = graph.callable(items[0]);
            arguments = graph.arguments(items[0]);
        } else if (subclass || (module == "torch._utils" && name.starts_with("_rebuild_"))) {
            return torch_rebuild{module, name, arguments};
        } else {
            return std::nullopt;
        }
    }
    return std::nullopt;
}

/// The element type of `torch.<X>Storage`.
[[nodiscard]] constexpr std::optional<dtype> dtype_of_torch_storage(std::string_view name) noexcept {
    struct pair {
        std::string_view name;
        dtype type;
    };
    constexpr std::array known{
        pair{"FloatStorage", dtype::f32},    pair{"HalfStorage", dtype::f16},   pair{"BFloat16Storage", dtype::bf16},
        pair{"DoubleStorage", dtype::f64},   pair{"LongStorage", dtype::i64},   pair{"IntStorage", dtype::i32},
        pair{"ShortStorage", dtype::i16},    pair{"CharStorage", dtype::i8},    pair{"ByteStorage", dtype::u8},
        pair{"BoolStorage", dtype::boolean}, pair{"UntypedStorage", dtype::u8}, pair{"ComplexFloatStorage", dtype::c64},
    };
    for (auto const& k : known)
        if (k.name == name) return k.type;
    return std::nullopt;
}

/// The element type of `torch.<x>`, as _rebuild_tensor_v3 has it.
[[nodiscard]] constexpr std::optional<dtype> dtype_of_torch_name(std::string_view name) noexcept {
    struct pair {
        std::string_view name;
        dtype type;
    };
    constexpr std::array known{
        pair{"float32", dtype::f32},
        pair{"float16", dtype::f16},
        pair{"bfloat16", dtype::bf16},
        pair{"float64", dtype::f64},
        pair{"int64", dtype::i64},
        pair{"int32", dtype::i32},
        pair{"int16", dtype::i16},
        pair{"int8", dtype::i8},
        pair{"uint8", dtype::u8},
        pair{"uint16", dtype::u16},
        pair{"uint32", dtype::u32},
        pair{"uint64", dtype::u64},
        pair{"bool", dtype::boolean},
        pair{"float8_e5m2", dtype::f8_e5m2},
        pair{"float8_e4m3fn", dtype::f8_e4m3},
        pair{"float8_e8m0fnu", dtype::f8_e8m0},
        pair{"float8_e4m3fnuz", dtype::f8_e4m3fnuz},
        pair{"float8_e5m2fnuz", dtype::f8_e5m2fnuz},
        pair{"complex64", dtype::c64},
    };
    for (auto const& k : known)
        if (k.name == name) return k.type;
    return std::nullopt;
}

/// What is made that is no plain dense tensor.
[[nodiscard]] inline std::string kind_of_rebuild(torch_rebuild const& rebuild) {
    struct pair {
        std::string_view function, kind;
    };
    constexpr std::array known{
        pair{"_rebuild_qtensor", "a quantized tensor"},
        pair{"_rebuild_sparse_tensor", "a sparse tensor"},
        pair{"_rebuild_sparse_csr_tensor", "a sparse tensor"},
        pair{"_rebuild_nested_tensor", "a nested tensor"},
        pair{"_rebuild_njt", "a nested tensor"},
        pair{"_rebuild_meta_tensor_no_storage", "a meta tensor, which has no elements"},
        pair{"_rebuild_wrapper_subclass", "a tensor of a wrapper class"},
        pair{"_rebuild_device_tensor_from_numpy", "a tensor of another device"},
        pair{"_rebuild_device_tensor_from_cpu_tensor", "a tensor of another device"},
    };
    auto const found = std::ranges::find(known, rebuild.function, &pair::function);
    return std::string{found == known.end() ? "a tensor" : found->kind} + ", made by " + printable(rebuild.module, 64) + "." + printable(rebuild.function, 64)
           + ", expected a plain dense tensor";
}

/// A tensor's elements inside a storage that is found by its key.
struct torch_tensor {
    std::string_view storage_key;
    std::uint64_t storage_bytes{}; ///< as the pickle says; whoever opens the storage compares
    dtype type{};
    strided_layout layout;
};

/// Reads and checks the description of one tensor.
///
/// Source  torch/_utils.py, torch/serialization.py: _rebuild_tensor_v2(storage, offset, size, stride, requires_grad,
///         hooks, metadata), _v3 with a dtype after the hooks; the storage's persistent id is
///         ('storage', torch.<X>Storage, key, location, numel).
class torch_tensor_reader {
public:
    /// `file_size` bounds what a tensor may take once its repeated elements (stride 0) are written out.
    torch_tensor_reader(pickle_graph const& graph, std::string_view where, std::uint64_t file_size)
        : graph_{graph}, where_{where}, file_size_{file_size} {}

    /// The tensor; none, and `obstacle` says what it is, where nothing here can represent it (quantized, sparse, meta,
    /// nested, conjugated, of a dtype that safetensors has not).
    /// Errors  checkpoint_error bad_tensor where the description is unsound.
    [[nodiscard]] std::optional<torch_tensor> read(std::string_view name, torch_rebuild const& rebuild,
                                                   std::string& obstacle) const {
        bool const v3 = rebuild.function == "_rebuild_tensor_v3";
        if (rebuild.module != "torch._utils" || (!v3 && rebuild.function != "_rebuild_tensor_v2" && rebuild.function != "_rebuild_tensor")) {
            obstacle = kind_of_rebuild(rebuild);
            return std::nullopt;
        }
        auto const arguments = graph_.items(rebuild.arguments);
        if (arguments.size() < (v3 ? 7U : 4U))
            fail(name, "its description has " + std::to_string(arguments.size()) + " parts, too few");
        torch_tensor result;
        auto const stored = read_storage(name, arguments[0], result, obstacle);
        if (!stored) return std::nullopt;
        result.type = *stored;
        if (v3) {
            auto const global = graph_.global(arguments[6]);
            auto const type = global && global->first == "torch" ? dtype_of_torch_name(global->second) : std::nullopt;
            if (!type) {
                obstacle = "a tensor of dtype "
                           + (global ? printable(global->first, 64) + "." + printable(global->second, 64) : "unknown");
                return std::nullopt;
            }
            result.type = *type;
        }
        if (is_lazily_changed(arguments, v3 ? 7 : 6)) {
            obstacle = "a tensor that is conjugated or negated lazily, expected a plain dense tensor";
            return std::nullopt;
        }
        result.layout.offset = number(name, arguments[1], "offset");
        read_sizes(name, arguments[2], arguments[3], result.layout);
        check_bounds(name, result);
        return result;
    }

private:
    static constexpr std::uint64_t max_size = (std::uint64_t{1} << 48U) - 1;

    [[noreturn]] void fail(std::string_view name, std::string const& sentence) const {
        throw checkpoint_error{error_code::bad_tensor,
                               std::string{where_} + ": tensor " + quoted_name(name) + ": " + sentence};
    }

    [[nodiscard]] std::uint64_t number(std::string_view name, pickle_value value, char const* what) const {
        auto const integer = graph_.integer(value);
        if (!integer) fail(name, std::string{what} + " is no integer in range");
        if (*integer < 0) fail(name, std::string{what} + " is " + std::to_string(*integer) + ", expected 0 or more");
        return static_cast<std::uint64_t>(*integer);
    }

    /// Key and bytes of the storage; its element type, or nothing with the obstacle.
    [[nodiscard]] std::optional<dtype> read_storage(std::string_view name, pickle_value storage, torch_tensor& result,
                                                    std::string& obstacle) const {
        auto const id = graph_.items(graph_.persistent_id(storage));
        if (id.size() < 5 || graph_.text(id[0]) != "storage") fail(name, "it has no storage");
        auto const global = graph_.global(id[1]);
        auto const key = graph_.text(id[2]);
        if (!global || !key) fail(name, "the type or key of its storage is no name");
        auto const [module, type_name] = *global;
        auto const type = module.starts_with("torch") ? dtype_of_torch_storage(type_name) : std::nullopt;
        if (!type) {
            obstacle = "a tensor in a " + printable(module, 64) + "." + printable(type_name, 64);
            return std::nullopt;
        }
        auto const bytes = checked_mul<std::uint64_t>(number(name, id[4], "the length of its storage"), size_of(*type));
        if (!bytes) fail(name, "the bytes of its storage overflow");
        result.storage_key = *key;
        result.storage_bytes = *bytes;
        return type;
    }

    /// The metadata is a dict such as {'conj': False, 'neg': True}.
    [[nodiscard]] bool is_lazily_changed(std::span<pickle_value const> arguments, std::size_t at) const noexcept {
        if (arguments.size() <= at) return false;
        for (auto i = graph_.first_entry(arguments[at]); i != pickle_graph::no_entry; i = graph_.at(i).next) {
            auto const key = graph_.text(graph_.at(i).key);
            if ((key == "conj" || key == "neg") && graph_.integer(graph_.at(i).value) != 0) return true;
        }
        return false;
    }

    void read_sizes(std::string_view name, pickle_value size, pickle_value stride, strided_layout& layout) const {
        if (size.kind() != pickle_kind::tuple || stride.kind() != pickle_kind::tuple)
            fail(name, "its sizes or strides are no tuple");
        auto const sizes = graph_.items(size), strides = graph_.items(stride);
        if (sizes.size() > shape::max_rank)
            fail(name, std::to_string(sizes.size()) + " dimensions, at most " + std::to_string(shape::max_rank));
        if (sizes.size() != strides.size())
            fail(name, std::to_string(sizes.size()) + " sizes and " + std::to_string(strides.size()) + " strides");
        std::array<std::size_t, shape::max_rank> read{};
        for (std::size_t r = 0; r < sizes.size(); ++r) {
            auto const one = number(name, sizes[r], "a size");
            if (one > max_size) fail(name, "a size of " + std::to_string(one) + ", at most 2^48 - 1");
            read[r] = static_cast<std::size_t>(one);
            layout.strides[r] = number(name, strides[r], "a stride");
        }
        layout.sizes = shape{std::span<std::size_t const>{read}.first(sizes.size())};
    }

    void check_bounds(std::string_view name, torch_tensor const& tensor) const {
        shape const& sizes = tensor.layout.sizes;
        std::uint64_t const offset = tensor.layout.offset;
        std::uint64_t const held = tensor.storage_bytes / size_of(tensor.type);
        auto const fail_outside = [&] {
            fail(name, "offset " + std::to_string(offset) + " and strides reach outside its storage of "
                           + std::to_string(held) + " elements");
        };
        auto const count = checked_product(std::span<std::size_t const>{sizes.begin(), sizes.rank()});
        auto const bytes = count ? checked_mul<std::uint64_t>(*count, size_of(tensor.type)) : std::nullopt;
        if (!bytes || *bytes > file_size_)
            fail(name,
                 "shape " + to_string(sizes) + " takes more bytes than the file of " + std::to_string(file_size_));
        if (*count == 0) {
            if (offset > held) fail_outside();
            return;
        }
        std::optional<std::uint64_t> last = offset;
        for (std::size_t r = 0; r < sizes.rank() && last; ++r) {
            auto const reach = checked_mul<std::uint64_t>(sizes[r] - 1, tensor.layout.strides[r]);
            last = reach ? checked_add(*last, *reach) : std::nullopt;
        }
        if (!last || *last >= held) fail_outside();
    }

    pickle_graph const& graph_;
    std::string_view where_;
    std::uint64_t file_size_;
};

} // namespace zeroi2v::detail
