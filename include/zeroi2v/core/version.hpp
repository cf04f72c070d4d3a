// The version of the library; CMakeLists.txt reads it from here.
#pragma once

#define ZEROI2V_VERSION_MAJOR 0
#define ZEROI2V_VERSION_MINOR 1
#define ZEROI2V_VERSION_PATCH 0

namespace zeroi2v {

/// The version as text, equal to what CMake's package file states.
inline constexpr char version_string[] = "0.1.0";

} // namespace zeroi2v
