// The entry point that every unit test executable links. An executable that ran no test case has failed.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>

namespace {

/// Counts the test cases that really ran.
struct counter : doctest::IReporter {
    static inline unsigned cases = 0;

    explicit counter(doctest::ContextOptions const&) {}
    void report_query(doctest::QueryData const&) override {}
    void test_run_start() override {}
    void test_run_end(doctest::TestRunStats const&) override {}
    void test_case_start(doctest::TestCaseData const&) override { ++cases; }
    void test_case_reenter(doctest::TestCaseData const&) override {}
    void test_case_end(doctest::CurrentTestCaseStats const&) override {}
    void test_case_exception(doctest::TestCaseException const&) override {}
    void subcase_start(doctest::SubcaseSignature const&) override {}
    void subcase_end() override {}
    void log_assert(doctest::AssertData const&) override {}
    void log_message(doctest::MessageData const&) override {}
    void test_case_skipped(doctest::TestCaseData const&) override {}
};

} // namespace

DOCTEST_REGISTER_LISTENER("counter", 1, counter);

int main(int argc, char** argv) {
    doctest::Context context{argc, argv};
    int const status = context.run();
    if (context.shouldExit()) return status;
    if (counter::cases == 0) {
        std::fputs("no test case ran\n", stderr);
        return 1;
    }
    return status;
}
