// read_pickle: a machine that follows a pickle's opcodes and executes nothing.
#pragma once

#include <zeroi2v/core/error.hpp>
#include <zeroi2v/io/torch/pickle_graph.hpp>
#include <zeroi2v/io/torch/pickle_opcode.hpp>
#include <zeroi2v/io/torch/pickle_operands.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zeroi2v {

namespace detail {

/// Stack, marks and memo of Python's unpickler. What it makes goes into the graph.
class pickle_machine {
public:
    pickle_machine(std::vector<std::byte> bytes, std::string_view where)
        : graph_{std::move(bytes)}, in_{graph_, where} {}

    [[nodiscard]] pickle_graph run() {
        try {
            while (step()) {}
        } catch (pickle_graph::bound_exceeded const& bound) {
            fail(bound.what);
        }
        if (in_.left() != 0) fail(std::to_string(in_.left()) + " bytes follow the end");
        return std::move(graph_);
    }

private:
    using op = pickle_opcode;
    using kind = pickle_kind;
    static constexpr std::uint64_t max_memo = 1'000'000;

    [[noreturn]] void fail(std::string const& sentence) const { in_.fail(sentence); }

    // ---- stack, marks, memo ----------------------------------------------------------------------------------------

    /// Values below the last mark are out of reach, as in Python.
    [[nodiscard]] std::size_t fence() const noexcept { return marks_.empty() ? 0 : marks_.back(); }
    void push(pickle_value v) { graph_.push(stack_, v); }
    [[nodiscard]] pickle_value top() const {
        if (stack_.size() <= fence()) fail("stack underflow");
        return stack_.back();
    }
    pickle_value pop() {
        pickle_value const v = top();
        stack_.pop_back();
        return v;
    }
    /// The values above the last mark, which goes. They stay in place until `drop`.
    [[nodiscard]] std::span<pickle_value const> above_mark() {
        if (marks_.empty()) fail("no mark");
        auto const values = std::span<pickle_value const>{stack_}.subspan(marks_.back());
        marks_.pop_back();
        return values;
    }
    void drop(std::size_t count) { stack_.resize(stack_.size() - count); }

    void put(std::uint64_t key) {
        pickle_value const v = top();
        if (key >= max_memo) fail("memo key " + std::to_string(key) + ", fewer than 1000000 are kept");
        auto const index = static_cast<std::size_t>(key);
        if (index >= memo_.size()) {
            graph_.reserve(memo_, index + 1);
            graph_.reserve(memo_set_, index + 1);
            memo_.resize(index + 1);
            memo_set_.resize(index + 1);
        }
        memo_[index] = v;
        if (!memo_set_[index]) ++memo_count_;
        memo_set_[index] = 1;
    }
    void get(std::uint64_t key) {
        if (key >= memo_.size() || memo_set_[static_cast<std::size_t>(key)] == 0)
            fail("memo key " + std::to_string(key) + " was never set");
        push(memo_[static_cast<std::size_t>(key)]);
    }

    // ---- objects ----------------------------------------------------------------------------------------------------

    [[nodiscard]] pickle_value make(kind k, std::span<pickle_value const> parts = {}) {
        if (parts.size() >= (std::size_t{1} << 25U)) fail("a tuple of " + std::to_string(parts.size()) + " items");
        return graph_.make(k, parts, in_.position());
    }
    [[nodiscard]] pickle_value make_call(pickle_value callable, pickle_value arguments) {
        if (callable.kind() < kind::global) fail("a call of something that is no global and no object");
        if (arguments.kind() != kind::tuple && arguments.kind() < kind::call)
            fail("a call whose arguments are no tuple");
        return make(kind::call, std::array{callable, arguments, pickle_value{}});
    }
    [[nodiscard]] pickle_value make_global(pickle_value module, pickle_value name) {
        if (module.kind() != kind::text || name.kind() != kind::text) fail("a global whose module or name is no text");
        return make(kind::global, std::array{module, name});
    }
    void make_tuple(std::size_t count) {
        if (stack_.size() - fence() < count) fail("stack underflow");
        pickle_value const made = make(kind::tuple, std::span<pickle_value const>{stack_}.last(count));
        drop(count);
        push(made);
    }
    void fill_dict(pickle_value target, std::span<pickle_value const> pairs) {
        if (target.kind() != kind::dict && target.kind() != kind::call && target.kind() != kind::opaque)
            fail("items set in something that is no dict");
        if (pairs.size() % 2 != 0) fail("a key without its value");
        if (target.kind() == kind::opaque) return;
        for (std::size_t i = 0; i < pairs.size(); i += 2) graph_.set_entry(target, pairs[i], pairs[i + 1]);
    }
    void fill_sequence(pickle_value target, std::span<pickle_value const> items) {
        if (target.kind() != kind::sequence && target.kind() != kind::call && target.kind() != kind::opaque)
            fail("items added to something that is no list or set");
        for (pickle_value const item : items) graph_.contain(target, item);
    }
    void build() {
        pickle_value const state = pop();
        if (top().kind() == kind::call) graph_.set_state(top(), state);
    }

    // ---- the opcodes ------------------------------------------------------------------------------------------------

    /// Follows one opcode; false after STOP.
    [[nodiscard]] bool step() {
        auto const code = in_.opcode();
        switch (static_cast<op>(code)) {
        case op::proto:
            if (auto const protocol = in_.number<std::uint8_t>(); protocol > 5)
                fail("protocol " + std::to_string(protocol) + ", 0 to 5 are known");
            break;
        case op::frame:
            if (in_.number<std::uint64_t>() > in_.left()) fail("a frame that passes the end of the pickle");
            break;
        case op::stop: graph_.set_root(pop()); return false;

        case op::none: push({}); break;
        case op::newtrue: push(pickle_graph::make_boolean(true)); break;
        case op::newfalse: push(pickle_graph::make_boolean(false)); break;
        case op::binint:
            push(pickle_graph::make_integer(static_cast<std::int32_t>(in_.number<std::uint32_t>())));
            break;
        case op::binint1: push(pickle_graph::make_integer(in_.number<std::uint8_t>())); break;
        case op::binint2: push(pickle_graph::make_integer(in_.number<std::uint16_t>())); break;
        case op::long1: push(in_.long_integer(in_.take(in_.number<std::uint8_t>()))); break;
        case op::long4:
            push(in_.long_integer(in_.take(in_.number<std::uint32_t>())));
            break; // a negative length passes the end
        case op::binfloat:
            static_cast<void>(in_.take(8));
            push(pickle_graph::make_opaque());
            break;
        case op::float_line:
            static_cast<void>(in_.line());
            push(pickle_graph::make_opaque());
            break;
        case op::int_line: {
            std::string_view const digits = in_.line_text();
            push(digits == "01" || digits == "00" ? pickle_graph::make_boolean(digits == "01") : in_.decimal(digits));
            break;
        }
        case op::long_line: {
            std::string_view digits = in_.line_text();
            if (digits.ends_with('L')) digits.remove_suffix(1);
            push(in_.decimal(digits));
            break;
        }

        case op::binunicode: push(in_.slice<std::uint32_t>(kind::text)); break;
        case op::short_binunicode: push(in_.slice<std::uint8_t>(kind::text)); break;
        case op::binunicode8: push(in_.slice<std::uint64_t>(kind::text)); break;
        case op::binstring: push(in_.slice<std::uint32_t>(kind::text)); break; // likewise
        case op::short_binstring: push(in_.slice<std::uint8_t>(kind::text)); break;
        case op::unicode: push(in_.escaped_line(false)); break;
        case op::string: push(in_.escaped_line(true)); break;
        case op::binbytes: push(in_.slice<std::uint32_t>(kind::bytes)); break;
        case op::short_binbytes: push(in_.slice<std::uint8_t>(kind::bytes)); break;
        case op::binbytes8: push(in_.slice<std::uint64_t>(kind::bytes)); break;
        case op::bytearray8: push(in_.slice<std::uint64_t>(kind::bytes)); break;

        case op::mark: graph_.push(marks_, static_cast<std::uint32_t>(stack_.size())); break;
        case op::pop:
            if (!marks_.empty() && stack_.size() == marks_.back())
                marks_.pop_back();
            else
                pop();
            break;
        case op::pop_mark: drop(above_mark().size()); break;
        case op::dup: push(top()); break;
        case op::put: put(in_.memo_key_line()); break;
        case op::binput: put(in_.number<std::uint8_t>()); break;
        case op::long_binput: put(in_.number<std::uint32_t>()); break;
        case op::memoize: put(memo_count_); break;
        case op::get: get(in_.memo_key_line()); break;
        case op::binget: get(in_.number<std::uint8_t>()); break;
        case op::long_binget: get(in_.number<std::uint32_t>()); break;

        case op::empty_tuple: push(make(kind::tuple)); break;
        case op::tuple1: make_tuple(1); break;
        case op::tuple2: make_tuple(2); break;
        case op::tuple3: make_tuple(3); break;
        case op::tuple: make_tuple(above_mark().size()); break;
        case op::empty_list:
        case op::empty_set: push(make(kind::sequence)); break;
        case op::list:
        case op::frozenset: {
            auto const items = above_mark();
            pickle_value const made = make(kind::sequence);
            fill_sequence(made, items);
            drop(items.size());
            push(made);
            break;
        }
        case op::append: {
            pickle_value const item = pop();
            fill_sequence(top(), {&item, 1});
            break;
        }
        case op::appends:
        case op::additems: {
            auto const items = above_mark();
            if (stack_.size() - items.size() <= fence()) fail("stack underflow");
            fill_sequence(stack_[stack_.size() - items.size() - 1], items);
            drop(items.size());
            break;
        }
        case op::empty_dict: push(make(kind::dict)); break;
        case op::dict: {
            auto const pairs = above_mark();
            pickle_value const made = make(kind::dict);
            fill_dict(made, pairs);
            drop(pairs.size());
            push(made);
            break;
        }
        case op::setitem: {
            std::array<pickle_value, 2> pair;
            pair[1] = pop();
            pair[0] = pop();
            fill_dict(top(), pair);
            break;
        }
        case op::setitems: {
            auto const pairs = above_mark();
            if (stack_.size() - pairs.size() <= fence()) fail("stack underflow");
            fill_dict(stack_[stack_.size() - pairs.size() - 1], pairs);
            drop(pairs.size());
            break;
        }

        case op::global: {
            pickle_value const module = in_.line();
            push(make_global(module, in_.line()));
            break;
        }
        case op::stack_global: {
            pickle_value const name = pop();
            push(make_global(pop(), name));
            break;
        }
        case op::reduce:
        case op::newobj: {
            pickle_value const arguments = pop();
            push(make_call(pop(), arguments));
            break;
        }
        case op::newobj_ex: {
            pop(); // named arguments
            pickle_value const arguments = pop();
            push(make_call(pop(), arguments));
            break;
        }
        case op::inst: {
            pickle_value const module = in_.line();
            pickle_value const type = make_global(module, in_.line());
            make_tuple(above_mark().size());
            push(make_call(type, pop()));
            break;
        }
        case op::obj: {
            auto const values = above_mark();
            if (values.empty()) fail("stack underflow");
            pickle_value const type = values[0];
            make_tuple(values.size() - 1);
            pickle_value const arguments = pop();
            pop();
            push(make_call(type, arguments));
            break;
        }
        case op::build: build(); break;
        case op::persid: push(make(kind::persistent, std::array{in_.line()})); break;
        case op::binpersid: push(make(kind::persistent, std::array{pop()})); break;

        case op::ext1:
        case op::ext2:
        case op::ext4: fail("an extension code; no registry of them is known");
        case op::next_buffer:
        case op::readonly_buffer: fail("a buffer outside the pickle");
        default: fail("no opcode: " + std::to_string(code));
        }
        return true;
    }

    pickle_graph graph_;
    pickle_operands in_;
    std::vector<pickle_value> stack_;
    std::vector<std::uint32_t> marks_;
    std::vector<pickle_value> memo_;
    std::vector<std::uint8_t> memo_set_;
    std::uint64_t memo_count_{};
};

} // namespace detail

/// The values that the pickle in `bytes` describes, protocols 0 to 5. Globals are names, calls are kept as what would
/// be called with what: nothing is imported, looked up or executed.
///
/// Errors  checkpoint_error bad_pickle `where: byte N: ...`: an unknown opcode, truncation, bytes after STOP, stack,
///         mark or memo underflow, nesting beyond 64, a memo key from 10^6 on, out-of-band buffers, extension codes,
///         more than 2 bytes of values for each byte of the pickle plus 10 MB.
/// Cost    linear in the pickle's length; no recursion here or in the result's destructor.
/// Source  CPython Lib/pickletools.py (the opcodes' meaning).
/// Test    tests/unit/io/torch/pickle.cpp, tests/fuzz/fuzz_pickle.cpp
[[nodiscard]] inline pickle_graph read_pickle(std::vector<std::byte> bytes, std::string_view where) {
    if (bytes.size() > pickle_graph::max_bytes)
        throw checkpoint_error{error_code::bad_pickle, std::string{where} + ": byte 0: a pickle of "
                                                           + std::to_string(bytes.size()) + " bytes, at most "
                                                           + std::to_string(pickle_graph::max_bytes) + " are read"};
    return detail::pickle_machine{std::move(bytes), where}.run();
}

} // namespace zeroi2v
