#include "clip_queue.hpp"

#include "console.hpp"

#include <zeroi2v/core/error.hpp>

#include <algorithm>
#include <string>
#include <system_error>
#include <utility>

namespace zeroi2v::program {

void bad_videos::add(std::size_t sample, std::exception const& fault) {
    std::lock_guard const lock{guard_};
    if (!samples_.insert(sample).second) return;
    news_.push_back(sample);
    if (auto const* const known = dynamic_cast<error const*>(&fault)) report_error(known->code_name(), known->what());
    require_few();
}

void bad_videos::add_known(std::size_t sample) {
    std::lock_guard const lock{guard_};
    samples_.insert(sample);
    require_few(); // also where this process has read it ahead, and threw where nobody has looked yet
}

std::vector<std::size_t> bad_videos::news() {
    std::lock_guard const lock{guard_};
    return std::exchange(news_, {});
}

void bad_videos::require_few() const {
    if (samples_.size() > limit_)
        throw video_error{error_code::limit_exceeded, "--bad-videos: " + std::to_string(samples_.size()) + " videos could not be read, at most "
                                                          + std::to_string(limit_) + " expected"};
}

std::size_t bad_videos::count() const {
    std::lock_guard const lock{guard_};
    return samples_.size();
}

clip_queue::clip_queue(train_source const& source, std::size_t clip_values, std::function<wanted(std::uint64_t)> order, std::size_t threads, std::size_t places,
                       bad_videos& bad)
    : source_{source}, clip_values_{clip_values}, order_{std::move(order)}, bad_{bad}, places_(std::max<std::size_t>(places, 1)) {
    threads_.reserve(threads);
    try {
        for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
    } catch (std::system_error const&) { // the queue has as many as the system gives; with none the caller reads
    }
}

clip_queue::~clip_queue() {
    {
        std::lock_guard const lock{guard_};
        stopping_ = true;
    }
    changed_.notify_all();
    for (std::thread& each : threads_) each.join();
}

void clip_queue::read(wanted what, ready& into) const {
    into.values.resize(clip_values_);
    for (std::size_t tried = 0;; ++tried) {
        std::size_t const sample = (what.sample + tried) % source_.size();
        try {
            into.labels = source_.read(sample, what.draw, into.values);
            return;
        } catch (video_error const& fault) {
            bad_.add(sample, fault);
            if (tried + 1 == source_.size()) throw;
        }
    }
}

void clip_queue::work() {
    for (;;) {
        std::uint64_t mine = 0;
        wanted what{};
        {
            std::unique_lock lock{guard_};
            changed_.wait(lock, [this] { return stopping_ || started_ < taken_ + places_.size(); });
            if (stopping_) return;
            mine = started_++;
            what = order_(mine);
        }
        place& here = places_[mine % places_.size()];
        ready clip;
        std::exception_ptr fault;
        try {
            read(what, clip);
        } catch (...) {
            fault = std::current_exception();
        }
        {
            std::lock_guard const lock{guard_};
            here.clip = std::move(clip);
            here.fault = std::move(fault); // not a second owner, whose last look at it would be a race to ThreadSanitizer
            here.full = true;
        }
        changed_.notify_all();
    }
}

clip_queue::ready clip_queue::next() {
    if (threads_.empty()) {
        ready clip;
        read(order_(taken_++), clip);
        return clip;
    }
    std::unique_lock lock{guard_};
    place& here = places_[taken_ % places_.size()];
    changed_.wait(lock, [&here] { return here.full; });
    here.full = false;
    auto const fault = std::exchange(here.fault, nullptr);
    ready clip = std::move(here.clip);
    ++taken_;
    lock.unlock();
    changed_.notify_all();
    if (fault) std::rethrow_exception(fault);
    return clip;
}

} // namespace zeroi2v::program
