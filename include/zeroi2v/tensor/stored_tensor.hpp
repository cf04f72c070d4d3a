// stored_tensor: a tensor whose element type and shape are known at run time only, as files hold them.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/core/checked.hpp>
#include <zeroi2v/core/dtype.hpp>
#include <zeroi2v/tensor/aligned_buffer.hpp>
#include <zeroi2v/tensor/extents.hpp>
#include <zeroi2v/tensor/tensor_view.hpp>

#include <array>
#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>

namespace zeroi2v {

/// A shape of at most 8 dimensions, without heap memory.
class shape {
public:
    static constexpr std::size_t max_rank = 8;

    constexpr shape() noexcept = default;
    constexpr shape(std::initializer_list<std::size_t> sizes)
        : shape{std::span<std::size_t const>{sizes.begin(), sizes.size()}} {}
    constexpr explicit shape(std::span<std::size_t const> sizes) : rank_{sizes.size()} {
        ZEROI2V_REQUIRE(sizes.size() <= max_rank, "zeroi2v::shape: at most 8 dimensions");
        for (std::size_t r = 0; r < rank_; ++r) sizes_[r] = sizes[r];
    }

    [[nodiscard]] constexpr std::size_t rank() const noexcept { return rank_; }
    [[nodiscard]] constexpr std::size_t operator[](std::size_t r) const noexcept { return sizes_[r]; }
    [[nodiscard]] constexpr std::size_t const* begin() const noexcept { return sizes_.data(); }
    [[nodiscard]] constexpr std::size_t const* end() const noexcept { return sizes_.data() + rank_; }

    /// The number of elements. The product was checked where the shape came from a file.
    [[nodiscard]] constexpr std::size_t count() const noexcept {
        std::size_t product = 1;
        for (std::size_t const size : *this) product *= size;
        return product;
    }
    friend constexpr bool operator==(shape const&, shape const&) noexcept = default;

private:
    std::array<std::size_t, max_rank> sizes_{};
    std::size_t rank_{};
};

/// `(2,3,768)`; `()` for a scalar.
[[nodiscard]] inline std::string to_string(shape const& s) {
    std::string text = "(";
    for (std::size_t r = 0; r < s.rank(); ++r) {
        if (r != 0) text += ',';
        text += std::to_string(s[r]);
    }
    return text + ")";
}

/// Elements of any dtype on the heap, row-major, little-endian as in memory. Moves; `clone` copies.
///
/// Errors  no memory -> resource_error out_of_memory.    Test  tests/unit/tensor/stored_tensor.cpp
class stored_tensor {
public:
    stored_tensor() noexcept = default;

    /// Uninitialised elements.
    stored_tensor(dtype type, zeroi2v::shape sizes) : type_{type}, shape_{sizes}, buffer_{byte_count(type, sizes)} {}

    stored_tensor(stored_tensor&& other) noexcept
        : type_{other.type_}, shape_{std::exchange(other.shape_, zeroi2v::shape{0})}, buffer_{std::move(other.buffer_)} {}
    stored_tensor& operator=(stored_tensor&& other) noexcept {
        type_ = other.type_;
        shape_ = std::exchange(other.shape_, zeroi2v::shape{0});
        buffer_ = std::move(other.buffer_);
        return *this;
    }

    /// All elements zero.
    [[nodiscard]] static stored_tensor zeros(dtype type, zeroi2v::shape sizes) {
        stored_tensor result{type, sizes};
        if (result.byte_size() != 0) std::memset(result.bytes().data(), 0, result.byte_size());
        return result;
    }

    [[nodiscard]] stored_tensor clone() const {
        stored_tensor result;
        result.buffer_ = aligned_buffer{byte_size()};
        result.type_ = type_;
        result.shape_ = shape_;
        if (byte_size() != 0) std::memcpy(result.buffer_.data(), buffer_.data(), byte_size());
        return result;
    }

    [[nodiscard]] dtype type() const noexcept { return type_; }
    [[nodiscard]] zeroi2v::shape const& sizes() const noexcept { return shape_; }
    [[nodiscard]] std::size_t count() const noexcept { return shape_.count(); }
    [[nodiscard]] std::size_t byte_size() const noexcept { return buffer_.size(); }
    [[nodiscard]] bool empty() const noexcept { return buffer_.size() == 0; }
    [[nodiscard]] std::span<std::byte> bytes() noexcept { return {buffer_.data(), buffer_.size()}; }
    [[nodiscard]] std::span<std::byte const> bytes() const noexcept { return {buffer_.data(), buffer_.size()}; }

    /// The elements as values of T, which must be the stored type.
    template <class T>
    [[nodiscard]] std::span<T> as() {
        ZEROI2V_REQUIRE(dtype_of<T> == type_, "zeroi2v::stored_tensor::as: T must be the stored type");
        return {reinterpret_cast<T*>(buffer_.data()), count()};
    }
    template <class T>
    [[nodiscard]] std::span<T const> as() const {
        ZEROI2V_REQUIRE(dtype_of<T> == type_, "zeroi2v::stored_tensor::as: T must be the stored type");
        return {reinterpret_cast<T const*>(buffer_.data()), count()};
    }

    /// Element i of an f32, f16, bf16 or f64 tensor, widened.
    [[nodiscard]] double value(std::size_t i) const noexcept {
        ZEROI2V_ASSERT(i < count());
        switch (type_) {
        case dtype::f32: return static_cast<double>(load<float>(i));
        case dtype::f64: return load<double>(i);
        case dtype::f16: return static_cast<double>(static_cast<float>(load<f16>(i)));
        case dtype::bf16: return static_cast<double>(static_cast<float>(load<bf16>(i)));
        default: ZEROI2V_ASSERT(false); return 0;
        }
    }

    /// Widens elements [first, first + out.size()) of an f32, f16 or bf16 tensor into `out`; exact.
    void widen(std::size_t first, std::span<float> out) const noexcept {
        ZEROI2V_ASSERT(first + out.size() <= count());
        switch (type_) {
        case dtype::f32:
            if (!out.empty()) std::memcpy(out.data(), buffer_.data() + first * sizeof(float), out.size_bytes());
            break;
        case dtype::f16:
            for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(load<f16>(first + i));
            break;
        case dtype::bf16:
            for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(load<bf16>(first + i));
            break;
        default: ZEROI2V_ASSERT(false);
        }
    }

private:
    template <class T>
    [[nodiscard]] T load(std::size_t i) const noexcept {
        T result;
        std::memcpy(&result, buffer_.data() + i * sizeof(T), sizeof(T));
        return result;
    }

    [[nodiscard]] static std::size_t byte_count(dtype type, zeroi2v::shape const& sizes) {
        auto const count = checked_product(std::span<std::size_t const>{sizes.begin(), sizes.rank()});
        auto const bytes = count ? bytes_of(type, *count) : std::nullopt;
        if (!bytes)
            throw model_error{error_code::bad_config, "tensor of shape " + to_string(sizes) + ": the number of bytes overflows"
                                                           + (is_packed(type) ? " or is no whole one" : "")};
        return *bytes;
    }

    dtype type_{dtype::f32};
    zeroi2v::shape shape_{0};
    aligned_buffer buffer_;
};

} // namespace zeroi2v
