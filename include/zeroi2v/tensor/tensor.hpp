// tensor: owns its elements on the heap, row-major, aligned for any vector register.
#pragma once

#include <zeroi2v/core/assert.hpp>
#include <zeroi2v/core/checked.hpp>
#include <zeroi2v/core/error.hpp>
#include <zeroi2v/tensor/aligned_buffer.hpp>
#include <zeroi2v/tensor/extents.hpp>
#include <zeroi2v/tensor/tensor_view.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>

namespace zeroi2v {

/// Elements of type T on the heap, row-major, aligned to 64 bytes. Value semantics: copies are deep.
///
/// Shapes  Extents: static and dynamic sizes mixed.   Numerics  elements start at zero (`T{}`).
/// Errors  no memory -> resource_error out_of_memory; a size that overflows -> model_error bad_config; another size
///         where the type has one -> ZEROI2V_REQUIRE. A tensor that was moved from has no elements.
/// Test    tests/unit/tensor/tensor.cpp
template <class T, extents_type Extents>
class tensor {
    static_assert(std::is_trivially_copyable_v<T>, "zeroi2v::tensor: elements must be trivially copyable");

public:
    using value_type = T;
    using extents_t = Extents;

    tensor() requires(Extents::rank_dynamic() != 0) = default;
    tensor() requires(Extents::rank_dynamic() == 0) : tensor{Extents{}} {}
    explicit tensor(Extents sizes) : extents_{sizes}, buffer_{bytes(sizes)} { std::fill_n(data(), size(), T{}); }

    template <std::convertible_to<std::size_t>... Values>
        requires(sizeof...(Values) == Extents::rank() && sizeof...(Values) > 0)
    explicit tensor(Values... values) : tensor{checked(values...)} {}

    tensor(tensor const& other) : extents_{other.extents_}, buffer_{other.buffer_.size()} {
        std::copy_n(other.data(), other.size(), data());
    }
    tensor(tensor&& other) noexcept
        : extents_{std::exchange(other.extents_, Extents{})}, buffer_{std::move(other.buffer_)} {}
    tensor& operator=(tensor other) noexcept {
        extents_ = other.extents_;
        buffer_ = std::move(other.buffer_);
        return *this;
    }

    [[nodiscard]] static constexpr std::size_t rank() noexcept { return Extents::rank(); }
    [[nodiscard]] std::size_t extent(std::size_t r) const noexcept { return extents_.extent(r); }
    [[nodiscard]] Extents const& extents() const noexcept { return extents_; }
    [[nodiscard]] std::size_t size() const noexcept { return buffer_.size() / sizeof(T); }
    [[nodiscard]] bool empty() const noexcept { return size() == 0; }
    [[nodiscard]] T* data() noexcept { return reinterpret_cast<T*>(buffer_.data()); }
    [[nodiscard]] T const* data() const noexcept { return reinterpret_cast<T const*>(buffer_.data()); }
    [[nodiscard]] T* begin() noexcept { return data(); }
    [[nodiscard]] T* end() noexcept { return data() + size(); }
    [[nodiscard]] T const* begin() const noexcept { return data(); }
    [[nodiscard]] T const* end() const noexcept { return data() + size(); }

    [[nodiscard]] tensor_view<T, Extents> view() noexcept { return {data(), extents_}; }
    [[nodiscard]] tensor_view<T const, Extents> view() const noexcept { return {data(), extents_}; }
    operator tensor_view<T, Extents>() noexcept { return view(); }             // NOLINT: reads as an array does
    operator tensor_view<T const, Extents>() const noexcept { return view(); } // NOLINT

    template <std::convertible_to<std::size_t>... Indices>
        requires(sizeof...(Indices) == Extents::rank())
    [[nodiscard]] T& operator()(Indices... indices) noexcept { return view()(indices...); }
    template <std::convertible_to<std::size_t>... Indices>
        requires(sizeof...(Indices) == Extents::rank())
    [[nodiscard]] T const& operator()(Indices... indices) const noexcept { return view()(indices...); }

private:
    template <class... Values>
    [[nodiscard]] static Extents checked(Values... values) {
        std::size_t r = 0;
        auto const agrees = [&r](std::size_t given) {
            std::size_t const stated = Extents::static_extent(r++);
            return stated == dynamic || stated == given;
        };
        bool const agree = (agrees(static_cast<std::size_t>(values)) && ...);
        ZEROI2V_REQUIRE(agree, "zeroi2v::tensor: a static size must be given as the type has it");
        return Extents{values...};
    }

    [[nodiscard]] static std::size_t bytes(Extents const& sizes) {
        auto const all = sizes.to_array();
        auto const count = checked_product(std::span<std::size_t const>{all});
        auto const total = count ? checked_mul(*count, sizeof(T)) : std::nullopt;
        if (!total) throw model_error{error_code::bad_config, "tensor: the number of bytes overflows"};
        return *total;
    }

    Extents extents_{};
    aligned_buffer buffer_;
};

/// A tensor of Rank dynamic dimensions.
template <class T, std::size_t Rank>
using dynamic_tensor = tensor<T, dims<Rank>>;

} // namespace zeroi2v
