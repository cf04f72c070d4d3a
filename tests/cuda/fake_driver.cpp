// A CUDA driver that finds nothing: what tests/cli/devices.cpp puts in the place of libcuda.so.1 to see what the program
// says of a machine that has another. FAKE_CUDA=no_device|old_driver, else a driver that does not answer.
#include <cstdlib>
#include <cstring>

#include <dlfcn.h>

namespace {

constexpr int success = 0, no_device = 100, unknown_error = 999; // CUresult

bool is(char const* mode) {
    char const* const wanted = std::getenv("FAKE_CUDA");
    return wanted != nullptr && std::strcmp(wanted, mode) == 0;
}

int unknown_call() { return unknown_error; }

} // namespace

extern "C" {

int cuDriverGetVersion(int* version) {
    *version = is("old_driver") ? 12080 : 13000;
    return success;
}

int cuInit(unsigned) { return is("no_device") ? no_device : success; }

int cuGetExportTable(void const** table, void const*) {
    *table = nullptr;
    return unknown_error;
}

int cuGetProcAddress_v2(char const* name, void** function, int, unsigned long long, int* status) {
    void* const self = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
    *function = self != nullptr ? ::dlsym(self, name) : nullptr;
    if (*function == nullptr) *function = reinterpret_cast<void*>(&unknown_call);
    if (status != nullptr) *status = 0;
    return success;
}

int cuGetProcAddress(char const* name, void** function, int version, unsigned long long flags) {
    return cuGetProcAddress_v2(name, function, version, flags, nullptr);
}

} // extern "C"
