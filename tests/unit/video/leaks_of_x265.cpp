// LeakSanitizer passes over libx265, which the tests encode with and which keeps some memory of every encoder.

extern "C" char const* __lsan_default_suppressions();
extern "C" char const* __lsan_default_suppressions() { return "leak:libx265"; }
