// executor: who runs the parts of a loop. The library's own are serial_executor and thread_team; a caller may bring another.
#pragma once

#include <zeroi2v/parallel/function_ref.hpp>

namespace zeroi2v {

/// Runs numbered parts of one piece of work.
///
/// A part may run on any thread and in any order; `run` returns when all have ended, and rethrows an exception of a part.
/// What the parts write depends on the part's number only, so the results are the same bits for every executor.
class executor {
public:
    executor() = default;
    executor(executor const&) = delete;
    executor& operator=(executor const&) = delete;
    virtual ~executor() = default;

    /// How many parts run at the same time, at least 1.
    [[nodiscard]] virtual int concurrency() const noexcept = 0;

    /// Calls work(0) .. work(parts - 1), each once; parts <= 0 calls nothing.
    virtual void run(int parts, function_ref<void(int)> work) = 0;
};

/// All parts on the calling thread, in order.
class serial_executor final : public executor {
public:
    [[nodiscard]] int concurrency() const noexcept override { return 1; }
    void run(int parts, function_ref<void(int)> work) override {
        for (int part = 0; part < parts; ++part) work(part);
    }
};

} // namespace zeroi2v
