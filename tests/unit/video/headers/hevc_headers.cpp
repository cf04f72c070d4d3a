#include <zeroi2v/video/headers/hevc_headers.hpp>

#include "../encode.hpp"
#include "bit_writer.hpp"

#include <doctest/doctest.h>

#include <set>
#include <tuple>

using namespace zeroi2v::detail;
using video_test::bit_writer, video_test::bytes;

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

namespace {

/// What parameter sets of HEVC say; the writer of slices and the reader must agree on all of it.
struct forms {
    unsigned sub_layers = 0; // beyond the first
    bool profiles = false, levels = false;
    unsigned chroma = 1;
    bool separate_planes = false, window = false, order_of_each = false, pcm = false, long_term = false, output_flag = false;
    int lists = 0; // of scaling: none, the default, stated
    unsigned order_bits = 4, extra_bits = 0;

    /// Reference sets: {-1}; {-1, -2}, told by the one before; {-2} and 1, which is kept only.
    [[nodiscard]] bytes parameters(std::uint32_t sequence_id, std::uint32_t picture_id) const {
        bit_writer s;
        s.bits(0, 4).bits(sub_layers, 3).bits(1, 1);
        for (int i = 0; i < 11; ++i) s.bits(0x5b, 8);
        s.bits(93, 8);
        for (unsigned i = 0; i < sub_layers; ++i) s.bits(profiles && i % 2 == 0, 1).bits(levels, 1);
        if (sub_layers > 0) s.bits(0, 2 * (8 - sub_layers));
        for (unsigned i = 0; i < sub_layers; ++i) {
            for (int n = 0; profiles && i % 2 == 0 && n < 11; ++n) s.bits(0xa7, 8);
            if (levels) s.bits(0x99, 8);
        }
        s.ue(sequence_id).ue(chroma);
        if (chroma == 3) s.bits(separate_planes, 1);
        s.ue(64).ue(48).bits(window, 1);
        if (window) s.ue(1).ue(2).ue(3).ue(4);
        s.ue(2).ue(1).ue(order_bits - 4).bits(order_of_each, 1);
        for (unsigned i = order_of_each ? 0 : sub_layers; i <= sub_layers; ++i) s.ue(4 + i).ue(2).ue(i);
        s.ue(0).ue(3).ue(1).ue(2).ue(0).ue(5).bits(lists > 0, 1);
        if (lists > 0) s.bits(lists > 1, 1);
        for (unsigned size = 0; lists > 1 && size < 4; ++size)
            for (unsigned matrix = 0; matrix < (size == 3 ? 2U : 6U); ++matrix) {
                s.bits(matrix % 2, 1);
                if (matrix % 2 == 0) {
                    s.ue(matrix);
                    continue;
                }
                if (size > 1) s.se(-3);
                for (unsigned i = 0; i < (size == 0 ? 16U : 64U); ++i) s.se(i % 2 == 0 ? 1 : -1);
            }
        s.bits(3, 2).bits(pcm, 1);
        if (pcm) s.bits(0x77, 8).ue(1).ue(0).bits(1, 1);
        s.ue(3);
        s.ue(1).ue(0).ue(0).bits(1, 1);
        s.bits(1, 1).bits(1, 1).ue(0).bits(1, 1).bits(1, 1);
        s.bits(0, 1).ue(1).ue(1).ue(1).bits(1, 1).ue(0).bits(0, 1);
        s.bits(long_term, 1).bits(0x2a, 6);
        bit_writer p;
        p.ue(picture_id).ue(sequence_id).bits(1, 1).bits(output_flag, 1).bits(extra_bits, 3).bits(0x2a, 6);
        bytes all = s.unit({33 << 1, 1});
        auto const more = p.unit({34 << 1, 1});
        all.insert(all.end(), more.begin(), more.end());
        return all;
    }

    struct picture {
        unsigned order;
        int set = 0; // 0..2; 3: {-3}, stated in the slice; 4: told there by the last but one, one further back: {-1, -2, -3}
        unsigned type = 1;
        bool shown = true;
    };

    [[nodiscard]] bytes slice(picture const& is, std::uint32_t picture_id) const {
        bool const random_access = is.type >= 16 && is.type <= 23, idr = is.type == 19 || is.type == 20;
        bit_writer w;
        w.bits(1, 1);
        if (random_access) w.bits(0, 1);
        w.ue(picture_id).bits(0x5, extra_bits).ue(1);
        if (output_flag) w.bits(is.shown, 1);
        if (separate_planes) w.bits(2, 2);
        if (!idr) {
            w.bits(is.order % (1U << order_bits), order_bits).bits(is.set < 3, 1);
            if (is.set < 3) w.bits(static_cast<std::uint32_t>(is.set), 2);
            if (is.set == 3) w.bits(0, 1).ue(1).ue(0).ue(2).bits(1, 1);
            if (is.set == 4) w.bits(1, 1).ue(1).bits(1, 1).ue(0).bits(1, 1).bits(1, 1).bits(1, 1); // of {-1, -2} and 0
        }
        w.bits(0x12345678, 32).bits(0x12345678, 32);
        return w.unit({static_cast<std::uint8_t>(is.type << 1U), 1});
    }
};

struct outcome {
    std::vector<std::size_t> lacking, unpromised;
    friend bool operator==(outcome const&, outcome const&) = default;
};

outcome read(forms const& form, std::vector<forms::picture> const& pictures) {
    hevc_headers headers;
    headers.configure(forms{.order_bits = 9, .extra_bits = 3}.parameters(0, 0)); // other sets are there too
    headers.configure(form.parameters(15, 63));
    outcome result;
    for (std::size_t i = 0; i < pictures.size(); ++i) {
        auto const promise = headers.read(i, form.slice(pictures[i], 63));
        if (promise.lost_reference) result.lacking.push_back(i);
        if (promise.picture != i) result.unpromised.push_back(i);
    }
    return result;
}

} // namespace

TEST_CASE("hevc_headers: whatever the parameter sets say, a slice's references are read") {
    std::vector<forms> all{{}};
    for (unsigned const sub_layers : {1U, 2U, 6U})
        for (bool const profiles : {false, true})
            for (bool const levels : {false, true})
                for (bool const each : {false, true}) all.push_back({.sub_layers = sub_layers, .profiles = profiles, .levels = levels, .order_of_each = each});
    for (unsigned const chroma : {0U, 1U, 2U, 3U})
        for (int const lists : {0, 1, 2}) all.push_back({.chroma = chroma, .window = chroma > 1, .pcm = lists == 1, .lists = lists, .order_bits = 4 + chroma, .extra_bits = chroma});
    all.push_back({.chroma = 3, .separate_planes = true, .output_flag = true, .order_bits = 16, .extra_bits = 7});
    all.push_back({.pcm = true, .output_flag = true, .lists = 2});
    for (std::size_t n = 0; n < all.size(); ++n) {
        CAPTURE(n);
        CHECK(read(all[n], {{0, 0, 19}, {1, 0}, {2, 1}, {3, 4}, {4, 1}, {5, 4}, {6, 3}}) == outcome{});
        CHECK(read(all[n], {{0, 0, 20}, {2, 1}, {3, 0}, {4, 1}}) == outcome{{1}, {}});       // of 1 and 0 the first is missing
        CHECK(read(all[n], {{0, 0, 19}, {1, 0}, {3, 3}, {4, 0}}) == outcome{});                // 2 is missing, nobody asks for it
        CHECK(read(all[n], {{0, 0, 19}, {1, 0}, {2, 0}, {3, 3}}) == outcome{{3}, {}});       // 0 was given up by 2
        CHECK(read(all[n], {{0, 0, 19}, {1, 0}, {2, 1}, {3, 4}, {5, 4}}) == outcome{{4}, {}}); // 4 is missing
        CHECK(read(all[n], {{0, 0, 19}, {3, 3}, {2, 2}, {4, 0}}) == outcome{});                // 3 was kept by 2
        CHECK(read(all[n], {{0, 0, 19}, {3, 3}, {1, 2}, {4, 0}}) == outcome{{2, 3}, {}});    // it was not by 1, and there is no -1
    }
    forms const hides{.output_flag = true};
    CHECK(read(hides, {{0, 0, 19}, {1, 0, 1, false}, {2, 1}}) == outcome{{}, {1}}); // not to be shown, but a reference
}

TEST_CASE("hevc_headers: orders go round, in steps of any size below the half") {
    for (unsigned const bits : {4U, 8U}) {
        std::vector<forms::picture> row{{0, 0, 19}};
        for (unsigned i = 1; i < 600; ++i) row.push_back({i, 0});
        CHECK(read({.order_bits = bits}, row) == outcome{});
        row.erase(row.begin() + 1U * (1 << bits));
        CHECK(read({.order_bits = bits}, row) == outcome{{std::size_t{1} << bits}, {}});
        row.assign({{0, 0, 19}}); // 3 2, 6 5, ...: back and forth
        for (unsigned i = 0; i < 200; ++i) {
            row.push_back({3 * i + 3, 3});
            row.push_back({3 * i + 2, 2});
        }
        CHECK(read({.order_bits = bits}, row) == outcome{});
    }
}

TEST_CASE("hevc_headers: parameter sets beyond what there may be are none, and a slice of them promises nothing") {
    for (auto const& [form, sequence, picture] : {std::tuple{forms{.order_bits = 17}, 0U, 0U}, {forms{}, 16U, 0U}, {forms{}, 0U, 64U}}) {
        hevc_headers headers;
        headers.configure(form.parameters(sequence, picture));
        CHECK(!headers.read(1, form.slice({0, 0, 19}, picture)).picture);
    }
    forms const form;
    for (unsigned const type : {10U, 15U, 22U, 31U, 41U}) { // no pictures of this version of the standard
        hevc_headers headers;
        headers.configure(form.parameters(0, 0));
        static_cast<void>(headers.read(1, form.slice({0, 0, 19}, 0)));
        CHECK(!headers.read(2, form.slice({1, 0, type}, 0)).picture);
        CHECK(headers.read(3, form.slice({1, 0, 7}, 0)).picture == 3);
    }
}

TEST_CASE("hevc_headers: an hvcC record has its sets in arrays, each with its length") {
    forms const form;
    auto const sets = form.parameters(2, 5);
    auto const units = nal_units(sets, 0);
    REQUIRE(units.size() == 2);
    for (unsigned const length_bytes : {1U, 2U, 4U}) {
        bytes record(23, 0);
        record[0] = 1;
        record[21] = static_cast<std::uint8_t>(0xfcU | (length_bytes - 1));
        record[22] = 3;
        auto const append = [&record](unsigned type, std::vector<byte_span> const& of) {
            record.insert(record.end(), {static_cast<std::uint8_t>(0x80U | type), 0, static_cast<std::uint8_t>(of.size())});
            for (byte_span const unit : of) {
                record.push_back(static_cast<std::uint8_t>(unit.size() >> 8U));
                record.push_back(static_cast<std::uint8_t>(unit.size()));
                record.insert(record.end(), unit.begin(), unit.end());
            }
        };
        append(32, {});
        append(33, {byte_span{}, units[0]});
        append(34, {units[1]});
        auto const slice = form.slice({0, 0, 19}, 5);
        byte_span const unit = nal_units(slice, 0)[0];
        bytes packet(length_bytes - 1, 0);
        packet.push_back(static_cast<std::uint8_t>(unit.size()));
        packet.insert(packet.end(), unit.begin(), unit.end());
        hevc_headers headers;
        headers.configure(record);
        CHECK(headers.read(5, packet).picture == 5);
        record.pop_back();
        hevc_headers cut;
        cut.configure(record);
        CHECK(!cut.read(5, packet).picture);
    }
}
