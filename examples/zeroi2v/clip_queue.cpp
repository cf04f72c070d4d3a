#include "clip_queue.hpp"

#include "console.hpp"

#include <zeroi2v/core/error.hpp>

#include <algorithm>
#include <new>
#include <string>
#include <system_error>
#include <utility>

namespace zeroi2v::program {

void bad_videos::add(bad_video const& found) {
    std::lock_guard const lock{guard_};
    if (!samples_.insert(found.sample).second) return;
    news_.push_back(found.sample);
    report_error(found.code, found.words);
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
    } catch (std::bad_alloc const&) {    // likewise
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

void clip_queue::read(wanted what, ready& into, std::vector<bad_video>& bad) const {
    into.values.resize(clip_values_);
    for (;;) {
        std::size_t const sample = (what.sample + bad.size()) % source_.size();
        try {
            into.labels = source_.read(sample, what.draw, into.values);
            return;
        } catch (video_error const& fault) {
            bad.push_back({sample, std::string{fault.code_name()}, fault.what()});
            if (bad.size() == source_.size() || bad.size() > bad_.limit()) throw;
        }
    }
}

void clip_queue::work() {
    for (;;) {
        std::uint64_t mine = 0;
        wanted what{};
        std::exception_ptr fault;
        {
            std::unique_lock lock{guard_};
            changed_.wait(lock, [this] { return stopping_ || started_ < taken_ + places_.size(); });
            if (stopping_) return;
            mine = started_++;
            try {
                what = order_(mine);
            } catch (...) {
                fault = std::current_exception();
            }
        }
        place& here = places_[mine % places_.size()];
        ready clip;
        std::vector<bad_video> bad;
        try {
            if (!fault) read(what, clip, bad);
        } catch (...) {
            fault = std::current_exception();
        }
        {
            std::lock_guard const lock{guard_};
            here.clip = std::move(clip);
            here.bad = std::move(bad);
            here.fault = std::move(fault); // not a second owner, whose last look at it would be a race to ThreadSanitizer
            here.full = true;
        }
        changed_.notify_all();
    }
}

clip_queue::ready clip_queue::next() {
    if (threads_.empty()) {
        ready clip;
        std::vector<bad_video> bad;
        std::exception_ptr fault;
        try {
            read(order_(taken_++), clip, bad);
        } catch (...) {
            fault = std::current_exception();
        }
        for (auto const& each : bad) bad_.add(each);
        if (fault) std::rethrow_exception(fault);
        return clip;
    }
    std::unique_lock lock{guard_};
    place& here = places_[taken_ % places_.size()];
    changed_.wait(lock, [&here] { return here.full; });
    here.full = false;
    auto const fault = std::exchange(here.fault, nullptr);
    ready clip = std::move(here.clip);
    auto const bad = std::exchange(here.bad, {});
    ++taken_;
    lock.unlock();
    changed_.notify_all();
    for (auto const& each : bad) bad_.add(each);
    if (fault) std::rethrow_exception(fault);
    return clip;
}

} // namespace zeroi2v::program
