// basic_workspace: the memory, the queue and the results in flight of one concurrent caller of an engine on a device.
#pragma once

#include <zeroi2v/cuda/workspace_layout.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace zeroi2v::detail {

template <class Adapters, class Machine>
class basic_engine;

/// Where a forward on a device keeps what it computes. Made by the engine's make_workspace, used by one thread at a time, for that engine.
///
/// One allocation on the device and one of pinned memory on the host, both made here; a queue of work of its own, so that workspaces
/// overlap. Two uploads and two results may be under way.
/// Errors  no memory -> device_error out_of_memory with the bytes.
template <class Machine>
class basic_workspace {
public:
    basic_workspace(Machine const& machine, workspace_layout const& layout, std::byte const* engine)
        : layout_{layout}, engine_{engine}, memory_{machine.allocate(layout.bytes, "workspace")},
          pinned_{machine.allocate_pinned(workspace_layout::slots * (layout.upload_head + layout.upload_data + layout.result_bytes))},
          queue_{machine.make_queue(memory_.data() + layout.scratch.offset, layout.scratch.bytes)} {}

    basic_workspace(basic_workspace&&) noexcept = default;
    basic_workspace& operator=(basic_workspace&&) = delete;

    /// V, the most views of one submit; forward takes any number, V at a time.
    [[nodiscard]] std::size_t clips() const noexcept { return layout_.clips; }
    /// Bytes on the device.
    [[nodiscard]] std::size_t bytes() const noexcept { return layout_.bytes; }
    /// Bytes of pinned memory on the host.
    [[nodiscard]] std::size_t pinned_bytes() const noexcept { return workspace_layout::slots * (layout_.upload_head + layout_.upload_data + layout_.result_bytes); }
    /// Batches submitted and not collected, at most 2.
    [[nodiscard]] std::size_t in_flight() const noexcept { return submitted_ - collected_; }

private:
    template <class, class>
    friend class basic_engine;

    [[nodiscard]] std::byte* pinned_upload(std::size_t slot) const noexcept { return pinned_.data() + slot * (layout_.upload_head + layout_.upload_data); }
    [[nodiscard]] float* pinned_result(std::size_t slot) const noexcept {
        return reinterpret_cast<float*>(pinned_.data() + workspace_layout::slots * (layout_.upload_head + layout_.upload_data) + slot * layout_.result_bytes);
    }

    workspace_layout layout_;
    std::byte const* engine_; ///< its weights: recorded work reads them
    typename Machine::memory memory_;
    typename Machine::pinned pinned_;
    typename Machine::queue queue_; ///< destroyed first: it waits for work that uses the memory
    std::size_t uploads_{}, submitted_{}, collected_{};
    std::size_t batch_[workspace_layout::slots]{}; ///< views of each result
};

} // namespace zeroi2v::detail
