// The switch of the changes, and the note of which test case reaches which of them. Linked to every unit test of a mutated build.
//
//   ZEROI2V_MUTANT         the number of the change that is on
//   ZEROI2V_MUTANT_RECORD  a file: a row of `ZEROI2V_MUTANT_COUNT` + 1 bytes per test case, 1 where the change was reached; row 0
//                          is what runs outside of them. FILE.cases gets a line `row TAB seconds TAB name` per test case.
#include "mutant.hpp"

#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace zeroi2v_mutant {

int active = 0;

namespace {

constexpr int most_cases = 4096;
int count = 0;
int row = 0;
unsigned char* rows = nullptr; // shared with processes that a test starts by fork

[[gnu::constructor(101)]] void begin() { // before the tests' own objects
    if (char const* const number = std::getenv("ZEROI2V_MUTANT")) active = std::atoi(number);
    char const* const path = std::getenv("ZEROI2V_MUTANT_RECORD");
    if (path == nullptr) return;
    count = std::atoi(std::getenv("ZEROI2V_MUTANT_COUNT"));
    auto const bytes = static_cast<std::size_t>(most_cases) * static_cast<std::size_t>(count + 1);
    int const file = ::open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file < 0 || ::ftruncate(file, static_cast<::off_t>(bytes)) != 0) std::abort();
    void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED) std::abort();
    ::close(file);
    rows = static_cast<unsigned char*>(memory);
    active = -1;
}

} // namespace

void note(int number) noexcept { __atomic_store_n(rows + static_cast<long>(row) * (count + 1) + number, 1, __ATOMIC_RELAXED); }

namespace {

struct recorder : doctest::IReporter {
    int cases = 0;
    std::string name;

    explicit recorder(doctest::ContextOptions const&) {}
    void report_query(doctest::QueryData const&) override {}
    void test_run_start() override {}
    void test_run_end(doctest::TestRunStats const&) override {}
    void test_case_start(doctest::TestCaseData const& data) override {
        name = data.m_name;
        if (++cases >= most_cases) std::abort();
        row = cases;
    }
    void test_case_reenter(doctest::TestCaseData const&) override {}
    void test_case_end(doctest::CurrentTestCaseStats const& stats) override {
        row = 0;
        if (rows == nullptr) return;
        std::FILE* const file = std::fopen((std::string{std::getenv("ZEROI2V_MUTANT_RECORD")} + ".cases").c_str(), "a");
        if (file == nullptr) std::abort();
        std::fprintf(file, "%d\t%f\t%s\n", cases, stats.seconds, name.c_str());
        std::fclose(file);
    }
    void test_case_exception(doctest::TestCaseException const&) override {}
    void subcase_start(doctest::SubcaseSignature const&) override {}
    void subcase_end() override {}
    void log_assert(doctest::AssertData const&) override {}
    void log_message(doctest::MessageData const&) override {}
    void test_case_skipped(doctest::TestCaseData const&) override {}
};

} // namespace
} // namespace zeroi2v_mutant

DOCTEST_REGISTER_LISTENER("mutants", 2, zeroi2v_mutant::recorder);
