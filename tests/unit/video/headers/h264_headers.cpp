#include <zeroi2v/video/headers/h264_headers.hpp>

#include "../encode.hpp"
#include "bit_writer.hpp"

#include <doctest/doctest.h>

#include <optional>

using namespace zeroi2v::detail;
using video_test::bit_writer, video_test::bytes;

namespace {

/// Baseline, frame_num of 4 bits; order of display of 4 bits, or as decoded.
bytes parameters(bool gaps_allowed, bool fields, bool ordered) {
    bit_writer sequence;
    sequence.bits(66, 8).bits(0, 8).bits(10, 8).ue(0).ue(0).ue(ordered ? 0 : 2);
    if (ordered) sequence.ue(0);
    sequence.ue(2).bits(gaps_allowed, 1).ue(3).ue(2).bits(!fields, 1).bits(1, 1).bits(0, 2);
    bit_writer picture;
    picture.ue(0).ue(0).bits(0, 1).bits(0, 1).ue(0).ue(0).ue(0).bits(0, 1).bits(0, 2).ue(0).ue(0).ue(0).bits(0, 3);
    bytes all = sequence.unit({0x67});
    auto const more = picture.unit({0x68});
    all.insert(all.end(), more.begin(), more.end());
    return all;
}

struct slice {
    char kind; // I, P, B, or 0 for an IDR picture
    std::uint32_t frame_num;
    bool reference = true;
    char field = ' '; // t, b
    std::optional<std::uint32_t> order{};
    bool resets = false, recovery = false;
};

bytes packet(slice const& s, bool fields) {
    bit_writer w;
    w.ue(0).ue(s.kind == 'P' ? 5 : s.kind == 'B' ? 6 : 7).ue(0).bits(s.frame_num, 4);
    if (fields) w.bits(s.field != ' ', 1);
    if (s.field != ' ') w.bits(s.field == 'b', 1);
    if (s.kind == 0) w.ue(0);
    if (s.order) w.bits(*s.order, 4);
    if (s.kind == 'B') w.bits(1, 1);
    if (s.kind == 'P' || s.kind == 'B') w.bits(0, 1).bits(0, 1);
    if (s.kind == 'B') w.bits(0, 1);
    if (s.reference && s.kind == 0) w.bits(0, 2);
    if (s.reference && s.kind != 0) w.bits(s.resets, 1);
    if (s.resets) w.ue(5).ue(0);
    w.bits(0x12345678, 32);
    bytes all;
    if (s.recovery) all = bit_writer{}.bits(6, 8).bits(1, 8).bits(0b11000000, 8).unit({0x06});
    auto const unit = w.unit({static_cast<std::uint8_t>((s.reference ? 0x60 : 0) | (s.kind == 0 ? 5 : 1))});
    all.insert(all.end(), unit.begin(), unit.end());
    return all;
}

/// The places of pictures that lack a reference.
std::vector<std::size_t> lost(std::vector<slice> const& slices, bool gaps_allowed = false, bool ordered = false) {
    h264_headers headers;
    headers.configure(parameters(gaps_allowed, false, ordered));
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < slices.size(); ++i) {
        auto const promise = headers.read(i + 1, packet(slices[i], false));
        CHECK(promise.picture == i + 1);
        if (promise.lost_reference) places.push_back(i);
    }
    return places;
}

using places = std::vector<std::size_t>;

} // namespace

TEST_CASE("h264_headers: a number left out is a reference left out; numbers go round, and begin again") {
    CHECK(lost({{0, 0}, {'P', 1}, {'P', 2}, {'P', 3}}) == places{});
    CHECK(lost({{0, 0}, {'P', 1}, {'P', 3}, {'P', 4}}) == places{2});
    CHECK(lost({{0, 0}, {'P', 1}, {'P', 3}, {'P', 4}}, true) == places{}); // the stream says that it leaves numbers out
    CHECK(lost({{0, 0}, {'P', 1}, {0, 0}, {'P', 1}}) == places{});
    std::vector<slice> round{{0, 0}};
    for (std::uint32_t i = 1; i < 40; ++i) round.push_back({'P', i % 16});
    CHECK(lost(round) == places{});
    round.erase(round.begin() + 16);
    CHECK(lost(round) == places{16});
    CHECK(lost({{0, 0}, {'P', 1}, {'P', 2, true, ' ', {}, true}, {'P', 1}, {'P', 2}}) == places{}); // operation 5: from 0 again
}

TEST_CASE("h264_headers: pictures that are no references have the next one's number; two references have two") {
    CHECK(lost({{0, 0}, {'P', 1}, {'P', 2, false}, {'P', 2, false}, {'P', 2}, {'P', 3, false}, {'P', 3}}) == places{});
    CHECK(lost({{0, 0}, {'P', 1}, {'P', 2, false}, {'P', 2, false}, {'P', 2}, {'P', 3, false}, {'P', 4, false}}) == places{6}); // 3 is gone
    CHECK(lost({{0, 0}, {'P', 1, false}, {'P', 2}, {'P', 3, false}, {'P', 4}}) == places{}); // an encoder that counts every picture
    CHECK(lost({{0, 0}, {'P', 1}, {'P', 2}, {'P', 2}, {'P', 3}}) == places{3});
    CHECK(lost({{0, 0}, {'P', 0}, {'P', 0}}) == places{}); // one that does not count
}

TEST_CASE("h264_headers: nothing is missed before a point to begin at, nor after one where recordings were joined") {
    CHECK(lost({{'P', 5}, {'P', 9}, {'I', 12}, {'P', 13}}) == places{});
    CHECK(lost({{'P', 5}, {'P', 9}, {'I', 12}, {'P', 13}, {'P', 15}}) == places{4});
    CHECK(lost({{0, 0}, {'P', 1}, {'I', 7, true, ' ', {}, false, true}, {'P', 8}}) == places{});
    CHECK(lost({{0, 0}, {'P', 1}, {'I', 7}, {'P', 8}}) == places{2}); // no point to begin at
    // those that are shown before the point need what the other recording does not have
    CHECK(lost({{0, 0, true, ' ', 0}, {'P', 1, true, ' ', 2}, {'I', 7, true, ' ', 8, false, true}, {'B', 8, false, ' ', 4}, {'B', 8, false, ' ', 6}, {'P', 8, true, ' ', 14},
                {'B', 9, false, ' ', 10}},
               false, true)
          == places{3, 4});
}

TEST_CASE("h264_headers: two fields are one picture, of the first one's packet; one alone is not promised") {
    h264_headers headers;
    headers.configure(parameters(false, true, false));
    std::vector<std::optional<std::uint64_t>> promised;
    std::uint64_t number = 0;
    for (slice const& s : {slice{0, 0, true, 't'}, slice{'P', 0, true, 'b'}, slice{'P', 1, true, 't'}, slice{'P', 1, true, 'b'}, slice{'P', 2, true, 't'},
                           slice{'P', 3, true, 't'}, slice{'P', 3, true, 'b'}, slice{'P', 4}}) {
        auto const promise = headers.read(++number, packet(s, true));
        CHECK(!promise.lost_reference);
        promised.push_back(promise.picture);
    }
    CHECK(promised == std::vector<std::optional<std::uint64_t>>{{}, 1U, {}, 3U, {}, {}, 6U, 8U});
}

TEST_CASE("h264_headers: what makes no sense promises nothing and is no trap") {
    h264_headers headers;
    CHECK(!headers.read(1, packet({'P', 1}, false)).picture); // no parameter sets
    bytes const all = parameters(false, false, true);
    for (std::size_t length = 0; length <= all.size(); ++length) headers.configure(byte_span{all}.first(length));
    auto const content = video_test::read_file(std::string{ZEROI2V_TEST_DATA} + "/videos/mmco.mp4");
    for (std::size_t at = 0; at + 200 < content.size(); at += 37) {
        headers.configure(byte_span{content}.subspan(at, 100));
        static_cast<void>(headers.read(at, byte_span{content}.subspan(at, 200)));
        h264_headers record;
        bytes avc{1, 66, 0, 10, 0xff, 0xe1};
        avc.insert(avc.end(), content.begin() + static_cast<std::ptrdiff_t>(at), content.begin() + static_cast<std::ptrdiff_t>(at + 60));
        record.configure(avc);
    }
    CHECK(!headers.read(1, {}).picture);
}

namespace {

/// What a sequence and a picture parameter set say; the writer of slices and the reader must agree on all of it.
struct forms {
    unsigned profile = 66, chroma = 1;
    bool separate_planes = false;
    int lists = 0; // of scaling: none, all absent, every second one, all
    unsigned frame_num_bits = 4, order_type = 2, order_bits = 4;
    bool zero_deltas = false, fields = false, order_present = false, weighted = false, redundant = false;
    unsigned weighted_b = 0, references_0 = 1, references_1 = 1;

    [[nodiscard]] bytes parameters(std::uint32_t sequence_id, std::uint32_t picture_id) const {
        bit_writer s;
        s.bits(profile, 8).bits(0, 8).bits(31, 8).ue(sequence_id);
        if (profile != 66) {
            s.ue(chroma);
            if (chroma == 3) s.bits(separate_planes, 1);
            s.ue(2).ue(1).bits(0, 1).bits(lists > 0, 1);
            for (int list = 0; lists > 0 && list < (chroma == 3 ? 12 : 8); ++list) {
                bool const stated = lists == 3 || (lists == 2 && list % 2 == 1);
                s.bits(stated, 1);
                if (!stated) continue;
                if (list % 3 == 0) s.se(-8); // the default: nothing follows
                else if (list % 3 == 1) s.se(1).se(-3).se(-6); // the rest is as the last
                else
                    for (int i = 0; i < (list < 6 ? 16 : 64); ++i) s.se(i % 2 == 0 ? 2 : -1);
            }
        }
        s.ue(frame_num_bits - 4).ue(order_type);
        if (order_type == 0) s.ue(order_bits - 4);
        if (order_type == 1) s.bits(zero_deltas, 1).se(-3).se(4).ue(3).se(1).se(-9).se(2);
        s.ue(2).bits(0, 1).ue(7).ue(5).bits(!fields, 1).bits(1, 1).bits(0, 2);
        bit_writer p;
        p.ue(picture_id).ue(sequence_id).bits(1, 1).bits(order_present, 1).ue(0).ue(references_0 - 1).ue(references_1 - 1).bits(weighted, 1).bits(weighted_b, 2);
        p.se(-4).se(3).se(-1).bits(2, 2).bits(redundant, 1);
        bytes all = s.unit({0x67});
        auto const more = p.unit({0x68});
        all.insert(all.end(), more.begin(), more.end());
        return all;
    }

    /// A slice of a reference picture, with every list and every weight that it may have.
    [[nodiscard]] bytes slice(char kind, std::uint32_t frame_num, bool resets, std::uint32_t picture_id, bool own_counts) const {
        bit_writer w;
        w.ue(0).ue(kind == 'P' ? 0 : kind == 'B' ? 1 : 2).ue(picture_id);
        if (separate_planes) w.bits(1, 2);
        w.bits(frame_num, frame_num_bits);
        if (fields) w.bits(0, 1);
        if (kind == 0) w.ue(3);
        if (order_type == 0) w.bits(5, order_bits);
        if (order_type == 0 && order_present) w.se(-2);
        if (order_type == 1 && !zero_deltas) w.se(6);
        if (order_type == 1 && !zero_deltas && order_present) w.se(-7);
        if (redundant) w.ue(0);
        if (kind != 0) {
            unsigned const lists_used = kind == 'B' ? 2 : 1;
            unsigned counts[2]{references_0, references_1};
            if (kind == 'B') w.bits(1, 1);
            w.bits(own_counts, 1);
            for (unsigned list = 0; own_counts && list < lists_used; ++list) w.ue((counts[list] = 3 + list) - 1);
            for (unsigned list = 0; list < lists_used; ++list) w.bits(1, 1).ue(0).ue(6).ue(1).ue(2).ue(3);
            if (kind == 'P' ? weighted : weighted_b == 1) {
                bool const colour = chroma != 0 && !separate_planes;
                w.ue(5);
                if (colour) w.ue(4);
                for (unsigned list = 0; list < lists_used; ++list)
                    for (unsigned i = 0; i < counts[list]; ++i) {
                        w.bits(i % 2, 1);
                        if (i % 2 == 1) w.se(9).se(-11);
                        if (colour) w.bits(i % 2 == 0, 1);
                        if (colour && i % 2 == 0) w.se(1).se(-2).se(3).se(-4);
                    }
            }
        }
        if (kind == 0) w.bits(1, 2);
        else w.bits(1, 1).ue(1).ue(2).ue(3).ue(1).ue(4).ue(2).ue(7).ue(4).ue(2).ue(6).ue(3);
        if (kind != 0 && resets) w.ue(5);
        if (kind != 0) w.ue(0);
        w.bits(0x12345678, 32);
        return w.unit({static_cast<std::uint8_t>(0x60 | (kind == 0 ? 5 : 1))});
    }
};

} // namespace

TEST_CASE("h264_headers: whatever the parameter sets say, a slice is read to its end") {
    std::vector<forms> all{{}};
    for (unsigned const profile : {100U, 110U, 122U, 244U, 44U, 83U, 86U, 118U, 128U, 138U, 139U, 134U, 135U}) all.push_back({.profile = profile, .lists = 2});
    for (unsigned const chroma : {0U, 1U, 2U, 3U})
        for (int const lists : {0, 1, 2, 3})
            for (bool const weighted : {false, true}) all.push_back({.profile = 244, .chroma = chroma, .lists = lists, .weighted = weighted, .weighted_b = weighted ? 1U : 2U, .references_0 = 3});
    all.push_back({.profile = 244, .chroma = 3, .separate_planes = true, .lists = 3, .weighted = true, .weighted_b = 1});
    for (bool const order_present : {false, true})
        for (bool const fields : {false, true}) {
            all.push_back({.frame_num_bits = 16, .order_type = 0, .order_bits = 16, .fields = fields, .order_present = order_present, .redundant = true, .references_1 = 2});
            all.push_back({.frame_num_bits = 7, .order_type = 1, .zero_deltas = true, .fields = fields, .order_present = order_present, .weighted = true});
            all.push_back({.frame_num_bits = 5, .order_type = 1, .fields = fields, .order_present = order_present, .redundant = true, .weighted_b = 1, .references_0 = 2, .references_1 = 4});
        }
    struct picture {
        char kind;
        std::uint32_t frame_num;
        bool resets = false;
    };
    for (std::size_t n = 0; n < all.size(); ++n)
        for (bool const own_counts : {false, true}) {
            CAPTURE(n);
            forms const& form = all[n];
            auto const found = [&](std::vector<picture> const& pictures) {
                h264_headers headers;
                headers.configure(forms{.frame_num_bits = 9, .redundant = true}.parameters(0, 0)); // other sets are there too
                headers.configure(form.parameters(31, 255));
                places lacking;
                for (std::size_t i = 0; i < pictures.size(); ++i) {
                    auto const promise = headers.read(i, form.slice(pictures[i].kind, pictures[i].frame_num, pictures[i].resets, 255, own_counts));
                    CHECK(promise.picture == i);
                    if (promise.lost_reference) lacking.push_back(i);
                }
                return lacking;
            };
            CHECK(found({{0, 0}, {'P', 1}, {'B', 2}, {'P', 3}}) == places{});
            CHECK(found({{0, 0}, {'P', 1}, {'B', 3}, {'P', 4}}) == places{2});
            CHECK(found({{0, 0}, {'P', 1}, {'B', 2, true}, {'P', 1}, {'B', 2}, {'P', 3, true}, {'P', 1}}) == places{}); // numbers begin again
            CHECK(found({{0, 0}, {'P', 1}, {'B', 2}, {'P', 1}}) == places{3});
        }
    // Beyond the most that a stream may have.
    for (forms const& form : {forms{.frame_num_bits = 17}, forms{.order_type = 3}, forms{.order_type = 0, .order_bits = 17}, forms{.profile = 244, .chroma = 4}}) {
        h264_headers headers;
        headers.configure(form.parameters(0, 0));
        CHECK(!headers.read(1, form.slice(0, 0, false, 0, false)).picture);
    }
    h264_headers headers;
    headers.configure(forms{}.parameters(32, 0)); // numbers of sets that there cannot be
    headers.configure(forms{}.parameters(0, 256));
    CHECK(!headers.read(1, forms{}.slice(0, 0, false, 0, false)).picture);
}

TEST_CASE("h264_headers: an avcC record has its sets one after the other, each with its length, and says how long lengths are") {
    auto const sets = forms{}.parameters(3, 4);
    auto const units = nal_units(sets, 0);
    REQUIRE(units.size() == 2);
    for (unsigned const length_bytes : {1U, 2U, 4U}) {
        bytes record{1, 66, 0, 31, static_cast<std::uint8_t>(0xfcU | (length_bytes - 1)), 0xe1};
        auto const append = [&record](byte_span unit) {
            record.push_back(static_cast<std::uint8_t>(unit.size() >> 8U));
            record.push_back(static_cast<std::uint8_t>(unit.size()));
            record.insert(record.end(), unit.begin(), unit.end());
        };
        append(units[0]);
        record.push_back(2);
        append({});
        append(units[1]);
        h264_headers headers;
        headers.configure(record);
        auto const slice = forms{}.slice(0, 0, false, 4, false);
        byte_span const unit = nal_units(slice, 0)[0];
        bytes packet(length_bytes - 1, 0);
        packet.push_back(static_cast<std::uint8_t>(unit.size()));
        packet.insert(packet.end(), unit.begin(), unit.end());
        CHECK(headers.read(5, packet).picture == 5);
        h264_headers cut;
        record.pop_back();
        cut.configure(record);
        CHECK(!cut.read(5, packet).picture);
    }
}

TEST_CASE("h264_headers: a recovery point among other messages, large ones too; only one that is exact at once counts") {
    auto const found = [](bytes const& messages) {
        bytes packet{0, 0, 1, 6};
        packet.insert(packet.end(), messages.begin(), messages.end());
        packet.push_back(0x80);
        auto const slice = forms{}.slice('I', 7, false, 0, false);
        h264_headers headers;
        headers.configure(forms{}.parameters(0, 0));
        static_cast<void>(headers.read(1, forms{}.slice(0, 0, false, 0, false)));
        auto const i = bit_writer{}.ue(0).ue(2).ue(0).bits(7, 4).bits(0, 1).bits(0x12345678, 32).unit({0x61});
        packet.insert(packet.end(), i.begin(), i.end());
        return !headers.read(2, packet).lost_reference; // 7 after 0: another recording, or pictures that lack
    };
    CHECK(!found({5, 2, 7, 7}));
    CHECK(found({6, 1, 0xc4}));  // 0 pictures
    CHECK(!found({6, 1, 0x44})); // 1 picture
    CHECK(found({5, 2, 7, 7, 6, 1, 0xc4}));
    bytes large{5, 255, 45};
    large.resize(3 + 300, 9);
    large.insert(large.end(), {6, 1, 0xc4});
    CHECK(found(large));
    bytes other{255, 6, 1, 0xc4, 6, 1, 0xc4}; // type 261, then a recovery point
    CHECK(found(other));
    CHECK(!found({255, 6, 1, 0xc4}));
    CHECK(!found({5, 90, 7, 7, 6, 1, 0xc4})); // a size beyond the unit
}
