// function_ref: a reference to anything callable, two words, no allocation.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

namespace zeroi2v {

template <class Signature>
class function_ref;

/// Refers to a callable that outlives the reference, as a parameter of a function does.
///
/// Cost  two pointers, one indirect call.    Test  tests/unit/parallel/function_ref.cpp
template <class Result, class... Arguments>
class function_ref<Result(Arguments...)> {
public:
    template <class Callable>
        requires(!std::is_same_v<std::remove_cvref_t<Callable>, function_ref>
                 && std::is_object_v<std::remove_reference_t<Callable>>
                 && std::is_invocable_r_v<Result, Callable&, Arguments...>)
    constexpr function_ref(Callable&& callable) noexcept // NOLINT: a parameter takes any callable, as std::function does
        : object_{const_cast<void*>(static_cast<void const*>(std::addressof(callable)))},
          call_{[](void* object, Arguments... arguments) -> Result {
              auto& callee = *static_cast<std::remove_reference_t<Callable>*>(object);
              if constexpr (std::is_void_v<Result>) callee(std::forward<Arguments>(arguments)...);
              else return callee(std::forward<Arguments>(arguments)...);
          }} {}

    constexpr Result operator()(Arguments... arguments) const { return call_(object_, std::forward<Arguments>(arguments)...); }

private:
    void* object_;
    Result (*call_)(void*, Arguments...);
};

} // namespace zeroi2v
