// A preloaded library in which chosen allocations, mappings or threads of a program fail, and which serves as its fork server.
//
// The program is started once. When its main begins, it waits for orders on descriptor 198; each order becomes a child that runs
// main with one fault, and descriptor 199 gives the child's wait status and how many calls it counted. So a run costs a fork and
// no dynamic linking. What precedes main, and the kernel's own memory, never fail.
//
// A child that dies of a signal of its own making says `FAULT signal N` and its call stack on stderr.
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "order.hpp"

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
}

namespace {

fault_order order{};
std::atomic<bool> armed{false};
std::atomic<long>* counted = nullptr; // in memory that the server shares with its child

bool fails(fault_kind kind) noexcept {
    if (!armed.load(std::memory_order_relaxed) || order.kind != kind) return false;
    long const n = counted->fetch_add(1, std::memory_order_relaxed);
    return n == order.at || (order.lasting != 0 && n >= order.at);
}

bool no_memory() noexcept {
    if (!fails(fault_kind::memory)) return false;
    errno = ENOMEM;
    return true;
}

template <class Function>
Function next(char const* name) noexcept {
    return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

void tell(char const* text, std::size_t size) noexcept {
    if (::write(STDERR_FILENO, text, size) < 0) {}
}

extern "C" void say_where(int signal) {
    armed = false;
    char line[] = "FAULT signal 00\n";
    line[13] = static_cast<char>('0' + signal / 10);
    line[14] = static_cast<char>('0' + signal % 10);
    tell(line, sizeof line - 1);
    void* frames[64];
    ::backtrace_symbols_fd(frames, ::backtrace(frames, 64), STDERR_FILENO);
    ::signal(signal, SIG_DFL);
    ::raise(signal);
}

using main_function = int (*)(int, char**, char**);
main_function program = nullptr;
using map_function = void* (*)(void*, std::size_t, int, int, int, ::off_t);
using thread_function = int (*)(::pthread_t*, ::pthread_attr_t const*, void* (*)(void*), void*);
map_function real_mmap = nullptr;
thread_function real_pthread_create = nullptr;

bool receive(fault_order& into) noexcept {
    auto* const bytes = reinterpret_cast<char*>(&into);
    for (std::size_t done = 0; done < sizeof into;) {
        auto const n = ::read(fault_orders, bytes + done, sizeof into - done);
        if (n <= 0) return false;
        done += static_cast<std::size_t>(n);
    }
    return true;
}

int serve(int argc, char** argv, char** environment) {
    void* warm[4];
    ::backtrace(warm, 4); // loads what it needs now, not amidst a fault
    while (receive(order)) {
        counted->store(0);
        ::pid_t const child = ::fork();
        if (child == 0) {
            ::close(fault_orders);
            ::close(fault_answers);
            for (auto const& [name, descriptor] : {std::pair{"stdout", 1}, std::pair{"stderr", 2}}) {
                int const file = ::open(name, O_WRONLY | O_CREAT | O_TRUNC, 0666);
                if (file < 0 || ::dup2(file, descriptor) < 0) ::_exit(125);
                ::close(file);
            }
            for (int const signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) ::signal(signal, say_where);
            ::alarm(order.seconds); // a hang ends as SIGALRM
            armed = true;
            return program(argc, argv, environment);
        }
        fault_answer answer{};
        if (child < 0 || ::waitpid(child, &answer.status, 0) != child) return 1;
        answer.counted = counted->load();
        if (::write(fault_answers, &answer, sizeof answer) != static_cast<::ssize_t>(sizeof answer)) return 1;
    }
    return 0;
}

} // namespace

extern "C" {

void* malloc(std::size_t bytes) { return no_memory() ? nullptr : __libc_malloc(bytes); }
void* calloc(std::size_t count, std::size_t bytes) { return no_memory() ? nullptr : __libc_calloc(count, bytes); }
void* realloc(void* old, std::size_t bytes) { return no_memory() ? nullptr : __libc_realloc(old, bytes); }
void* memalign(std::size_t alignment, std::size_t bytes) { return no_memory() ? nullptr : __libc_memalign(alignment, bytes); }
void* aligned_alloc(std::size_t alignment, std::size_t bytes) { return no_memory() ? nullptr : __libc_memalign(alignment, bytes); }
int posix_memalign(void** result, std::size_t alignment, std::size_t bytes) {
    if (fails(fault_kind::memory)) return ENOMEM;
    void* const memory = __libc_memalign(alignment, bytes);
    if (memory == nullptr) return ENOMEM;
    *result = memory;
    return 0;
}

/// Whoever maps memory itself; the C library's own mappings do not pass here.
void* mmap(void* address, std::size_t bytes, int protection, int flags, int descriptor, ::off_t offset) {
    if ((flags & MAP_ANONYMOUS) != 0 && no_memory()) return MAP_FAILED;
    if (real_mmap == nullptr) real_mmap = next<map_function>("mmap");
    return real_mmap(address, bytes, protection, flags, descriptor, offset);
}

int pthread_create(::pthread_t* thread, ::pthread_attr_t const* attributes, void* (*work)(void*), void* argument) {
    if (fails(fault_kind::threads)) return EAGAIN;
    if (real_pthread_create == nullptr) real_pthread_create = next<thread_function>("pthread_create");
    return real_pthread_create(thread, attributes, work, argument);
}

int __libc_start_main(main_function main, int argc, char** argv, void (*init)(), void (*fini)(), void (*rtld_fini)(), void* stack_end) {
    using start_function = int (*)(main_function, int, char**, void (*)(), void (*)(), void (*)(), void*);
    auto const start = next<start_function>("__libc_start_main");
    if (::fcntl(fault_orders, F_GETFD) == -1) return start(main, argc, argv, init, fini, rtld_fini, stack_end); // no order will come
    real_mmap = next<map_function>("mmap");
    real_pthread_create = next<thread_function>("pthread_create");
    void* const page = real_mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return 1;
    counted = static_cast<std::atomic<long>*>(page);
    program = main;
    return start(serve, argc, argv, init, fini, rtld_fini, stack_end);
}

} // extern "C"
