#include <zeroi2v/video/headers/h264_headers.hpp>

#include "../encode.hpp"

#include <doctest/doctest.h>

#include <optional>

using namespace zeroi2v::detail;
using video_test::bytes;

namespace {

class bit_writer {
public:
    bit_writer& bits(std::uint32_t value, unsigned count) {
        while (count-- > 0) {
            if (used_++ % 8 == 0) bytes_.push_back(0);
            bytes_.back() = static_cast<std::uint8_t>(bytes_.back() | (value >> count & 1U) << (7 - (used_ - 1) % 8));
        }
        return *this;
    }
    bit_writer& ue(std::uint32_t value) {
        unsigned length = 0;
        while ((value + 1) >> (length + 1) != 0) ++length;
        return bits(0, length).bits(value + 1, length + 1);
    }
    /// A NAL unit after a start code.
    [[nodiscard]] bytes unit(std::uint8_t header) const {
        bytes made{0, 0, 1, header};
        made.insert(made.end(), bytes_.begin(), bytes_.end());
        made.push_back(0x80);
        return made;
    }

private:
    bytes bytes_;
    std::size_t used_ = 0;
};

/// Baseline, frame_num of 4 bits; order of display of 4 bits, or as decoded.
bytes parameters(bool gaps_allowed, bool fields, bool ordered) {
    bit_writer sequence;
    sequence.bits(66, 8).bits(0, 8).bits(10, 8).ue(0).ue(0).ue(ordered ? 0 : 2);
    if (ordered) sequence.ue(0);
    sequence.ue(2).bits(gaps_allowed, 1).ue(3).ue(2).bits(!fields, 1).bits(1, 1).bits(0, 2);
    bit_writer picture;
    picture.ue(0).ue(0).bits(0, 1).bits(0, 1).ue(0).ue(0).ue(0).bits(0, 1).bits(0, 2).ue(0).ue(0).ue(0).bits(0, 3);
    bytes all = sequence.unit(0x67);
    auto const more = picture.unit(0x68);
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
    if (s.recovery) all = bit_writer{}.bits(6, 8).bits(1, 8).bits(0b11000000, 8).unit(0x06);
    auto const unit = w.unit(static_cast<std::uint8_t>((s.reference ? 0x60 : 0) | (s.kind == 0 ? 5 : 1)));
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
