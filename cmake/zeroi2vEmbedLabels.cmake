# zeroi2v_embed_labels(<target> <file.txt>...): compiles the class names into the target as
# zeroi2v::program::all_labels() (examples/zeroi2v/labels.hpp), one entry per file, named as the file without `.txt`.
function(zeroi2v_embed_labels target)
    set(texts "")
    set(entries "")
    set(index 0)
    foreach(file IN LISTS ARGN)
        set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
        get_filename_component(name "${file}" NAME_WE)
        file(READ "${file}" hex HEX) # hexadecimal, so that no character of the text means something to CMake or C++
        string(REGEX REPLACE "(................................)" "\\1\n    " hex "${hex}")
        string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${hex}")
        string(APPEND texts "constexpr char text_${index}[] = {\n    ${bytes}\n};\n")
        string(APPEND entries "    {\"${name}\", {text_${index}, sizeof text_${index}}},\n")
        math(EXPR index "${index} + 1")
    endforeach()
    set(generated "${CMAKE_CURRENT_BINARY_DIR}/labels.cpp")
    file(CONFIGURE OUTPUT "${generated}" @ONLY CONTENT
"// Made by CMake from the files of class names.
#include \"labels.hpp\"

namespace zeroi2v::program {
namespace {

@texts@
constexpr embedded_labels entries[] = {
@entries@};

} // namespace

std::span<embedded_labels const> all_labels() { return entries; }

} // namespace zeroi2v::program
")
    target_sources(${target} PRIVATE "${generated}")
endfunction()
