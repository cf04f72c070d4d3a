// The other translation unit (one.cpp).
#include <all_headers.hpp>

int other();

int other() { return ZEROI2V_VERSION_MINOR; }
