// One of two translation units that include every header and are linked together (two.cpp).
#include <all_headers.hpp>

int other();

int main() { return other() == ZEROI2V_VERSION_MINOR ? 0 : 1; }
