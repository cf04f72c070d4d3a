// hevc_headers: which packets of HEVC hold a picture that is shown, and where a reference picture is missing.
#pragma once

#include <zeroi2v/video/headers/packet_headers.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <utility>
#include <vector>

namespace zeroi2v::detail {

/// Every picture states which earlier ones it may use (ITU-T H.265, 8.3.2): one of them that never came is missing.
///
/// Pictures that are shown before the random access picture where decoding begins (RASL) are left out by the standard.
/// Test  tests/unit/video/headers/hevc_headers.cpp
class hevc_headers final : public packet_headers {
public:
    /// An hvcC record, or parameter sets after start codes.
    void configure(byte_span extra) override {
        if (extra.size() < 23 || (extra[0] == 0 && extra[1] == 0)) {
            for (byte_span const unit : nal_units(extra, 0)) read_parameters(unit);
            return;
        }
        length_bytes_ = (extra[21] & 3U) + 1U;
        std::size_t at = 23;
        for (unsigned arrays = extra[22]; arrays > 0 && extra.size() - at >= 3; --arrays) {
            unsigned sets = unsigned{extra[at + 1]} << 8U | extra[at + 2];
            at += 3;
            for (; sets > 0 && extra.size() - at >= 2; --sets) {
                std::size_t const length = std::size_t{extra[at]} << 8U | extra[at + 1];
                at += 2;
                if (length > extra.size() - at) return;
                read_parameters(extra.subspan(at, length));
                at += length;
            }
        }
    }

    [[nodiscard]] packet_promise read(std::uint64_t number, byte_span packet) override {
        packet_promise promise;
        bool began = false, other_layer = false;
        for (byte_span const unit : nal_units(packet, length_bytes_)) {
            if (unit.size() < 2) continue; // an end of sequence is its header alone
            if (layer_of(unit) != 0) {
                other_layer = other_layer || type_of(unit) <= 21;
                continue;
            }
            unsigned const type = type_of(unit);
            if (type >= 32 && type <= 34) read_parameters(unit);
            if (type == end_of_sequence || type == end_of_stream) ended_ = true;
            if (type > 31 || (type > 9 && type < 16) || type > 21 || began) continue;
            began = true;
            begin_picture(number, unit, promise);
        }
        if (!began && other_layer && begun_ && length_bytes_ > 0) promise.picture = number; // every picture has a base layer
        return promise;
    }

    /// SEI messages may state more bytes than they have. They carry no picture, but FFmpeg gives up the packet for them.
    [[nodiscard]] bool needs_mending(byte_span packet) const override {
        auto const units = nal_units(packet, length_bytes_);
        return std::any_of(units.begin(), units.end(), lies);
    }
    /// Turns them into filler, which decoders pass over.
    void mend(std::span<std::uint8_t> packet) const override {
        for (byte_span const unit : nal_units(packet, length_bytes_)) {
            if (!lies(unit)) continue;
            auto const place = static_cast<std::size_t>(unit.data() - packet.data());
            packet[place] = static_cast<std::uint8_t>((packet[place] & 0x81U) | filler << 1U);
        }
    }

private:
    static constexpr unsigned end_of_sequence = 36, end_of_stream = 37, filler = 38, cra = 21;
    static constexpr std::size_t most_pictures = 16;

    /// Distances in order of display to the pictures that a picture refers to.
    struct reference_set {
        std::vector<std::int32_t> used, all;
    };
    struct sequence_set {
        bool known = false, separate_planes = false, long_term = false;
        unsigned order_bits = 4, address_bits = 0;
        std::vector<reference_set> sets;
    };
    struct picture_set {
        bool known = false, output_flag = false;
        unsigned sequence = 0, extra_bits = 0;
    };

    static unsigned type_of(byte_span unit) noexcept { return unit[0] >> 1U & 63U; }
    static unsigned layer_of(byte_span unit) noexcept { return (unit[0] & 1U) << 5U | unit[1] >> 3U; }

    static bool lies(byte_span unit) {
        return unit.size() >= 3 && (type_of(unit) == 39 || type_of(unit) == 40) && !is_whole_message(unit);
    }

    static bool is_whole_message(byte_span unit) {
        auto const payload = nal_payload(unit, 2, unit.size());
        std::size_t at = 0;
        while (payload.size() - at >= 2) { // what follows the last message is one bit and zeros
            std::size_t type = 0, size = 0;
            for (std::size_t* value : {&type, &size}) {
                while (at < payload.size() && payload[at] == 255) *value += payload[at++];
                if (at == payload.size()) return false;
                *value += payload[at++];
            }
            if (size > payload.size() - at) return false;
            at += size;
        }
        return true;
    }

    void read_parameters(byte_span unit) {
        if (unit.size() < 3 || layer_of(unit) != 0) return;
        auto const payload = nal_payload(unit, 2, 4096);
        bit_reader in{payload};
        if (type_of(unit) == 33) read_sequence(in);
        if (type_of(unit) == 34) {
            std::uint32_t const id = in.ue();
            picture_set p;
            p.sequence = in.ue();
            in.skip(1);
            p.output_flag = in.flag();
            p.extra_bits = in.bits(3);
            p.known = in.sound() && p.sequence < sequences_.size();
            if (id < pictures_.size()) pictures_[id] = p;
        }
    }

    void read_sequence(bit_reader& in) {
        sequence_set s;
        in.skip(4);
        unsigned const sub_layers = in.bits(3);
        in.skip(1 + 88 + 8); // profile, level
        std::array<std::array<bool, 2>, 8> present{};
        for (unsigned i = 0; i < sub_layers; ++i) present[i] = {in.flag(), in.flag()};
        if (sub_layers > 0) in.skip(2 * (8 - sub_layers));
        for (unsigned i = 0; i < sub_layers; ++i) in.skip((present[i][0] ? 88U : 0U) + (present[i][1] ? 8U : 0U));
        std::uint32_t const id = in.ue();
        if (in.ue() == 3) s.separate_planes = in.flag();
        static_cast<void>(in.ue()); // width, height
        static_cast<void>(in.ue());
        if (in.flag())
            for (int i = 0; i < 4; ++i) static_cast<void>(in.ue());
        static_cast<void>(in.ue()); // bit depths
        static_cast<void>(in.ue());
        s.order_bits = in.ue() + 4;
        for (unsigned i = in.flag() ? 0 : sub_layers; i <= sub_layers; ++i)
            for (int n = 0; n < 3; ++n) static_cast<void>(in.ue());
        for (int i = 0; i < 6; ++i) static_cast<void>(in.ue()); // sizes of blocks
        if (in.flag() && in.flag()) skip_scaling_lists(in);
        in.skip(2);
        if (in.flag()) { // PCM
            in.skip(8);
            static_cast<void>(in.ue());
            static_cast<void>(in.ue());
            in.skip(1);
        }
        std::uint32_t const count = in.ue();
        for (std::uint32_t i = 0; i < count && i < 64 && in.sound(); ++i)
            s.sets.push_back(read_set(in, s.sets, i, false));
        s.long_term = in.flag();
        s.known = in.sound() && s.order_bits <= 16 && count <= 64;
        if (id < sequences_.size()) sequences_[id] = s;
    }

    static void skip_scaling_lists(bit_reader& in) {
        for (unsigned size = 0; size < 4; ++size)
            for (unsigned matrix = 0; matrix < 6; matrix += size == 3 ? 3 : 1) {
                if (!in.flag()) {
                    static_cast<void>(in.ue());
                    continue;
                }
                if (size > 1) static_cast<void>(in.se());
                for (unsigned i = 0; i < std::min(64U, 1U << (4 + 2 * size)) && in.sound(); ++i) static_cast<void>(in.se());
            }
    }

    /// st_ref_pic_set (7.3.7, 7.4.8).
    static reference_set read_set(bit_reader& in, std::vector<reference_set> const& before, std::uint32_t index, bool in_slice) {
        reference_set result;
        if (index != 0 && in.flag()) {
            std::uint32_t const back = in_slice ? in.ue() + 1 : 1;
            bool const negative = in.flag();
            auto const step = static_cast<std::int32_t>(in.ue() & 0x7fffU) + 1;
            std::int32_t const delta = negative ? -step : step;
            if (back > before.size()) {
                in.skip(std::size_t{1} << 32U); // unsound
                return result;
            }
            auto distances = before[before.size() - back].all; // negative ones from near to far, then positive ones
            distances.push_back(0);
            std::vector<std::pair<std::int32_t, bool>> found;
            for (std::int32_t const distance : distances) {
                bool const used = in.flag();
                if (used || in.flag()) found.emplace_back(distance + delta, used);
            }
            std::sort(found.begin(), found.end(), [](auto const& a, auto const& b) {
                return std::pair{a.first >= 0, std::abs(a.first)} < std::pair{b.first >= 0, std::abs(b.first)};
            });
            for (auto const& [distance, used] : found) {
                if (distance == 0) continue;
                result.all.push_back(distance);
                if (used) result.used.push_back(distance);
            }
            return result;
        }
        std::uint32_t const counts[2] = {in.ue(), in.ue()};
        if (counts[0] > most_pictures || counts[1] > most_pictures) {
            in.skip(std::size_t{1} << 32U);
            return result;
        }
        for (int side = 0; side < 2; ++side) {
            std::int32_t distance = 0;
            for (std::uint32_t i = 0; i < counts[side]; ++i) {
                auto const step = static_cast<std::int32_t>(in.ue() & 0x7fffU) + 1;
                distance += side == 0 ? -step : step;
                result.all.push_back(distance);
                if (in.flag()) result.used.push_back(distance);
            }
        }
        return result;
    }

    void begin_picture(std::uint64_t number, byte_span unit, packet_promise& promise) {
        unsigned const type = type_of(unit);
        bool const random_access = type >= 16 && type <= 23, idr = type == 19 || type == 20;
        bool const leading_lost = type == 8 || type == 9;
        auto const payload = nal_payload(unit, 2, 512);
        bit_reader in{payload};
        if (!in.flag()) { // the first slice is missing, and FFmpeg passes over the others in silence
            if (begun_) promise.picture = number;
            return;
        }
        bool const drops = random_access && in.flag();
        std::uint32_t const set = in.ue();
        bool const begins = random_access && (type != cra || ended_ || !begun_);
        if (random_access && (drops || ended_)) promise.may_drop = true;
        if (random_access) ended_ = false;
        if (set >= pictures_.size() || !pictures_[set].known || !sequences_[pictures_[set].sequence].known) {
            orders_.clear();
            begun_ = false;
            return;
        }
        picture_set const& p = pictures_[set];
        sequence_set const& q = sequences_[p.sequence];
        if (random_access) leaves_out_ = begins; // pictures that are shown before it and need what came before
        begun_ = begun_ || random_access;
        if (leading_lost && leaves_out_) return;
        in.skip(p.extra_bits);
        static_cast<void>(in.ue()); // kind of slice
        bool const shown = p.output_flag ? in.flag() : true;
        if (q.separate_planes) in.skip(2);
        reference_set references;
        std::int32_t order = 0;
        if (!idr) {
            std::int32_t const modulus = std::int32_t{1} << q.order_bits;
            auto const low = static_cast<std::int32_t>(in.bits(q.order_bits));
            if (!begins) {
                std::int32_t const last_low = ((base_ % modulus) + modulus) % modulus;
                order = base_ - last_low + low;
                if (low < last_low && last_low - low >= modulus / 2) order += modulus;
                if (low > last_low && low - last_low > modulus / 2) order -= modulus;
            } else {
                order = low;
            }
            bool const listed = in.flag();
            if (!listed) {
                references = read_set(in, q.sets, static_cast<std::uint32_t>(q.sets.size()), true);
            } else if (!q.sets.empty()) {
                unsigned bits = 0;
                while ((std::size_t{1} << bits) < q.sets.size()) ++bits;
                std::size_t const chosen = in.bits(bits);
                if (chosen < q.sets.size()) references = q.sets[chosen];
            }
        }
        if (!in.sound()) return;
        if (shown) promise.picture = number;
        if (random_access && begins) orders_.clear();
        if (begun_ && !random_access)
            for (std::int32_t const distance : references.used)
                if (std::find(orders_.begin(), orders_.end(), order + distance) == orders_.end())
                    promise.lost_reference = true;
        // what is no longer in the set is gone; long-term references are not followed
        if (!q.long_term && !random_access)
            std::erase_if(orders_, [&](std::int32_t kept) {
                return std::find(references.all.begin(), references.all.end(), kept - order) == references.all.end();
            });
        orders_.push_back(order);
        if (orders_.size() > 64) orders_.erase(orders_.begin());
        unsigned const temporal = (unit[1] & 7U) - 1U;
        bool const counts = temporal == 0 && !(type <= 14 && type % 2 == 0) && !(type >= 6 && type <= 9);
        if (counts) base_ = order;
    }

    std::array<sequence_set, 16> sequences_;
    std::array<picture_set, 64> pictures_;
    unsigned length_bytes_ = 0;
    bool begun_ = false, ended_ = false, leaves_out_ = false;
    std::int32_t base_ = 0;            // order of the last picture from which others are counted
    std::vector<std::int32_t> orders_; // pictures that may be referred to
};

} // namespace zeroi2v::detail
