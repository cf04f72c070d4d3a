#include <zeroi2v/video/headers/hevc_headers.hpp>

#include "../encode.hpp"

#include <doctest/doctest.h>

#include <set>

using namespace zeroi2v::detail;
using video_test::bytes;

namespace {

struct stream {
    bytes extra;
    std::vector<bytes> packets;
};

stream encoded(video_test::recipe how) {
    video_test::temporary_folder const folder;
    how.encoder = "libx265";
    video_test::encode(folder / "a.mp4", how);
    AVFormatContext* in = nullptr;
    video_test::ok(avformat_open_input(&in, (folder / "a.mp4").c_str(), nullptr, nullptr), "open");
    stream result;
    auto const& is = *in->streams[0]->codecpar;
    result.extra.assign(is.extradata, is.extradata + is.extradata_size);
    ffmpeg_packet const packet{av_packet_alloc()};
    while (av_read_frame(in, packet.get()) >= 0) {
        result.packets.emplace_back(packet->data, packet->data + packet->size);
        av_packet_unref(packet.get());
    }
    avformat_close_input(&in);
    return result;
}

/// Numbers of the packets that lack a reference, and how many pictures are promised, without the packets in `dropped`.
std::pair<std::set<std::size_t>, std::size_t> read(stream const& s, std::set<std::size_t> const& dropped = {}) {
    hevc_headers headers;
    headers.configure(s.extra);
    std::pair<std::set<std::size_t>, std::size_t> found;
    for (std::size_t i = 0; i < s.packets.size(); ++i) {
        if (dropped.contains(i)) continue;
        auto const promise = headers.read(i, s.packets[i]);
        if (promise.lost_reference) found.first.insert(i);
        if (promise.picture) found.second += 1;
    }
    return found;
}

} // namespace

TEST_CASE("hevc_headers: whole streams promise every picture and lack none; a reference that is dropped is lacked") {
    for (std::string const parameters : {"log-level=none", "log-level=none:bframes=0", "log-level=none:bframes=4:b-pyramid=1:ref=4", "log-level=none:open-gop=1:keyint=10:min-keyint=10",
                                         "log-level=none:temporal-layers=1:bframes=3", "log-level=none:scaling-list=default:slices=1"}) {
        CAPTURE(parameters);
        auto const whole = encoded({.frames = 40, .group = 10, .b_frames = 3, .settings = {{"x265-params", parameters}}});
        REQUIRE(whole.packets.size() == 40);
        CHECK(read(whole) == std::pair{std::set<std::size_t>{}, std::size_t{40}});
    }
    auto const row = encoded({.frames = 20, .group = 20, .b_frames = 0, .settings = {{"x265-params", "log-level=none"}}});
    for (std::size_t const dropped : {1U, 7U, 18U}) {
        auto const lacking = read(row, {dropped}).first;
        CHECK(lacking.contains(dropped + 1));
        CHECK(*lacking.begin() == dropped + 1);
    }
    CHECK(read(row, {19}).first.empty());
}

TEST_CASE("hevc_headers: pictures that the standard leaves out at a cut are not promised, and later ones lack nothing") {
    auto const open = encoded({.frames = 40, .group = 10, .b_frames = 3, .settings = {{"x265-params", "log-level=none:open-gop=1:keyint=10:min-keyint=10:b-adapt=0"}}});
    std::size_t left_out = 0;
    for (std::size_t begin = 1; begin < 35; ++begin) {
        unsigned const type = open.packets[begin][4] >> 1U & 63U; // after the length of the unit
        if (type != 21) continue;
        std::set<std::size_t> before;
        for (std::size_t i = 0; i < begin; ++i) before.insert(i);
        auto const [lacking, promised] = read(open, before);
        CHECK(lacking.empty());
        CHECK(promised < 40 - begin);
        left_out += 40 - begin - promised;
    }
    CHECK(left_out > 0);
}

TEST_CASE("hevc_headers: after an end of sequence, two bytes long, pictures that need what came before are not promised") {
    auto open = encoded({.frames = 40, .group = 10, .b_frames = 3, .settings = {{"x265-params", "log-level=none:open-gop=1:keyint=10:min-keyint=10:b-adapt=0"}}});
    std::size_t const promised = read(open).second;
    auto const cra = std::find_if(open.packets.begin() + 1, open.packets.end(), [](bytes const& packet) { return (packet[4] >> 1U & 63U) == 21; });
    REQUIRE(cra != open.packets.end());
    bytes const end_of_sequence{0, 0, 0, 2, 36 << 1, 1};
    auto& before = *(cra - 1);
    before.insert(before.end(), end_of_sequence.begin(), end_of_sequence.end());
    auto const [lacking, left] = read(open);
    CHECK(lacking.empty());
    CHECK(left < promised);
}

TEST_CASE("hevc_headers: a packet without a picture of the base layer promises one all the same") {
    auto changed = encoded({.frames = 6, .b_frames = 0, .settings = {{"x265-params", "log-level=none"}}});
    changed.packets[3][4] ^= 1U; // after the length of the unit
    CHECK(read(changed).second == 6);
}

TEST_CASE("hevc_headers: an SEI message that states more than it has becomes filler; others stay") {
    hevc_headers const headers;
    bytes const whole{0, 0, 1, 39 << 1, 1, 5, 2, 7, 7, 0x80, 0, 0, 1, 1 << 1, 1, 0x80, 9, 9};
    CHECK(!headers.needs_mending(whole));
    bytes lying = whole;
    lying[6] = 90;
    CHECK(headers.needs_mending(lying));
    headers.mend(lying);
    CHECK(lying[3] == 38 << 1);
    CHECK(!headers.needs_mending(lying));
    CHECK(std::equal(lying.begin() + 7, lying.end(), whole.begin() + 7));
}

TEST_CASE("hevc_headers: what makes no sense promises nothing and is no trap") {
    auto const content = video_test::read_file(std::string{ZEROI2V_TEST_DATA} + "/videos/hevc_cut.mp4");
    auto const whole = encoded({.frames = 4, .settings = {{"x265-params", "log-level=none"}}});
    hevc_headers headers;
    for (std::size_t length = 0; length < whole.extra.size(); ++length) headers.configure(byte_span{whole.extra}.first(length));
    for (std::size_t at = 0; at + 200 < content.size(); at += 3) {
        auto extra = whole.extra;
        extra[at % extra.size()] ^= static_cast<std::uint8_t>(1U << at % 8);
        headers.configure(extra);
        static_cast<void>(headers.read(at, byte_span{content}.subspan(at, 200)));
        for (auto const& packet : whole.packets) static_cast<void>(headers.read(at, packet));
    }
    CHECK(!headers.read(1, {}).picture);
}
