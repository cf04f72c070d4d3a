#include <zeroi2v/stdha/frame_map.hpp>
#include <zeroi2v/core/error.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

using namespace zeroi2v;

namespace {

/// Runs `make`, which must throw model_error bad_config with the sentence and then what was found.
template <class Make>
void check_refused(Make&& make, std::string const& message) {
    try {
        make();
        FAIL("accepted");
    } catch (model_error const& caught) {
        CHECK(caught.code() == error_code::bad_config);
        CHECK(std::string{caught.what()} == message);
    }
}

} // namespace

TEST_CASE("a map made at run time is refused with the sentences of the compiler") {
    check_refused([] { (void)frame_map<>{12, {{.head = 12, .offset = -1}}}; },
                  "zeroi2v::frame_map: head is outside the map: found 12");
    check_refused([] { (void)frame_map<>{12, {{.head = std::numeric_limits<std::size_t>::max(), .offset = 0}}}; },
                  "zeroi2v::frame_map: head is outside the map: found 18446744073709551615");
    check_refused([] { (void)frame_map<>{3, {{.head = 2, .offset = 1}, {.head = 0}, {.head = 2, .offset = 1}}}; },
                  "zeroi2v::frame_map: head is given twice: found 2");
    check_refused([] { (void)frame_map<>{3, {{.head = 0, .offset = 32768}}}; },
                  "zeroi2v::frame_map: offset is outside -32767..32767: found 32768");
    check_refused([] { (void)frame_map<>{3, {{.head = 0, .offset = std::numeric_limits<int>::min()}}}; },
                  "zeroi2v::frame_map: offset is outside -32767..32767: found -2147483648");
    check_refused([] { (void)frame_map<>{0}; }, "zeroi2v::frame_map: number of heads is outside 1..65535: found 0");
    check_refused([] { (void)frame_map<>{std::numeric_limits<std::size_t>::max()}; },
                  "zeroi2v::frame_map: number of heads is outside 1..65535: found 18446744073709551615");
    check_refused([] { (void)frame_map<>{std::span<int const>{}}; },
                  "zeroi2v::frame_map: number of heads is outside 1..65535: found 0");
    std::array<int, 2> const bad{0, -32768};
    check_refused([&] { (void)frame_map<>{std::span<int const>{bad}}; },
                  "zeroi2v::frame_map: offset is outside -32767..32767: found -32768");
}

TEST_CASE("a static map from values known at run time is refused the same way") {
    std::vector<int> offsets{-1, 1};
    check_refused([&] { (void)frame_map<3>{offsets}; }, "zeroi2v::frame_map: one offset per head is needed: found 2");
    check_refused([&] { (void)frame_map<1>{offsets}; }, "zeroi2v::frame_map: one offset per head is needed: found 2");
    check_refused([] { (void)frame_map<3>{frame_map<>{4}}; },
                  "zeroi2v::frame_map: one offset per head is needed: found 4");
    CHECK(frame_map<2>{offsets}.offset(1) == 1);
    offsets[1] = 40000;
    check_refused([&] { (void)frame_map<2>{offsets}; },
                  "zeroi2v::frame_map: offset is outside -32767..32767: found 40000");
}

TEST_CASE("the edges of the predicates are accepted") {
    CHECK(frame_map<>{65535}.is_identity());
    CHECK(frame_map<>{1, {{.head = 0, .offset = 32767}}}.reach() == 32767);
    CHECK(frame_map<>{1, {{.head = 0, .offset = -32767}}}.reach() == 32767);
}

TEST_CASE("copies are independent, moves take, assignment of a refused map changes nothing") {
    frame_map<> a{2, {{.head = 0, .offset = -1}}};
    auto const b = a;
    a = frame_map<>{3};
    CHECK(b.heads() == 2);
    CHECK(b.offset(0) == -1);
    auto c = b;
    auto const d = std::move(c);
    CHECK(d == b);
    frame_map<> kept{2, {{.head = 1, .offset = 2}}};
    CHECK_THROWS_AS((kept = frame_map<>{2, {{.head = 2, .offset = 1}}}), model_error);
    CHECK(kept.offset(1) == 2);
}

TEST_CASE("source follows the rule for every offset, frame and length") {
    int cases = 0;
    for (int frames = 1; frames <= 33; ++frames)
        for (int d = -(frames + 2); d <= frames + 2; ++d) {
            frame_map<> const map{2, {{.head = 1, .offset = d}}};
            for (int t = 0; t < frames; ++t) {
                int const wanted = t + d;
                int const expected = wanted >= 0 && wanted < frames ? wanted : t;
                REQUIRE(map.source(1, static_cast<std::size_t>(t), static_cast<std::size_t>(frames))
                        == static_cast<std::size_t>(expected));
                REQUIRE(map.source(0, static_cast<std::size_t>(t), static_cast<std::size_t>(frames))
                        == static_cast<std::size_t>(t));
                ++cases;
            }
        }
    CHECK(cases > 20000);
}

TEST_CASE("every frame is read as often as readers says, and no read is lost") {
    for (std::size_t frames = 1; frames <= 12; ++frames)
        for (int d = -14; d <= 14; ++d) {
            auto const map = frame_map<>::from_offsets({d});
            std::size_t reads = 0;
            for (std::size_t s = 0; s < frames; ++s) {
                auto const readers = map.readers(0, s, frames);
                CHECK(std::is_sorted(readers.begin(), readers.end()));
                for (std::size_t const t : readers) CHECK(map.source(0, t, frames) == s);
                reads += readers.size();
            }
            CHECK(reads == frames);
        }
}

TEST_CASE("the inverse view lists every head once, in ascending order") {
    auto const map = frame_map<>::from_offsets({-1, -1, 1, 1, -2, 2, -3, 0, 0});
    std::vector<std::size_t> all;
    for (int d = -3; d <= 3; ++d) {
        auto const heads = map.heads_at(d);
        std::vector<std::size_t> const listed(heads.begin(), heads.end());
        CHECK(std::is_sorted(listed.begin(), listed.end()));
        CHECK(listed.size() == heads.size());
        CHECK(heads.empty() == listed.empty());
        for (std::size_t const head : listed) CHECK(map.offset(head) == d);
        all.insert(all.end(), listed.begin(), listed.end());
    }
    CHECK(all.size() == map.heads());
    CHECK(map.heads_at(99).empty());
    CHECK(map.spatial_heads() == 2);
    CHECK(map.temporal_heads() == 7);
}

TEST_CASE("equality notices one offset and the number of heads") {
    auto const a = frame_map<3>::from_offsets({0, 1, 0});
    CHECK(a == frame_map<>{a});
    CHECK(a != frame_map<>::from_offsets({0, -1, 0}));
    CHECK(a != frame_map<>::from_offsets({1, 0, 0}));
    CHECK(a != frame_map<>::from_offsets({0, 1, 0, 0}));
    CHECK(frame_map<>::from_offsets({0, 1}) != a);
}

TEST_CASE("the predicates of a map, one by one") {
    using namespace frame_map_predicates;
    CHECK((!valid_head_count(0) && valid_head_count(1) && valid_head_count(65535) && !valid_head_count(65536)));
    CHECK((valid_head(2, 3) && !valid_head(3, 3)));
    CHECK((valid_offset(-32767) && valid_offset(32767) && !valid_offset(-32768) && !valid_offset(32768) && valid_offset(0)));
    std::vector<head_offset> const twice{{0, 1}, {2, 1}, {0, -1}}, once{{2, 1}, {0, 1}, {1, 1}};
    CHECK((first_of_its_head(twice, 0) && first_of_its_head(twice, 1) && !first_of_its_head(twice, 2)));
    CHECK(no_duplicate_head(once));
    CHECK_FALSE(no_duplicate_head(twice));
    CHECK(no_duplicate_head({}));
    CHECK_FALSE(head_offset{0, 1} == head_offset{0, 2});
}

TEST_CASE("who writes into a map makes it invalid, and it says so") {
    frame_map<> map{3, {{1, -1}}};
    CHECK(map.is_valid());
    map.offsets_[2] = 32768;
    CHECK_FALSE(map.is_valid());
    map.offsets_[2] = -32767;
    CHECK(map.is_valid());
    map.offsets_.clear();
    CHECK_FALSE(map.is_valid());
}

TEST_CASE("heads at an offset are walked one by one, before and after a step") {
    frame_map<> const map{6, {{1, -1}, {3, -1}, {4, 2}, {5, -1}}};
    auto const heads = map.heads_at(-1);
    auto at = heads.begin();
    CHECK(*at == 1);
    auto const before_step = at++;
    CHECK(*before_step == 1);
    CHECK(*at == 3);
    CHECK(*++at == 5);
    CHECK(++at == heads.end());
    CHECK((heads.size() == 3 && !heads.empty() && map.heads_at(7).empty() && map.heads_at(7).size() == 0));
    CHECK((map.spatial_heads() == 2 && map.temporal_heads() == 4 && map.reach() == 2 && !map.is_identity() && frame_map<>{2}.is_identity()));
    CHECK((frame_map<>{2, {{0, -5}}}.reach() == 5 && frame_map<>{2}.reach() == 0));
}
