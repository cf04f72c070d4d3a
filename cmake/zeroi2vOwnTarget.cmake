# What our own tests, programs and compiled libraries get and users of the headers never do.

set(ZEROI2V_WARNING_FLAGS -Wall -Wextra -Wpedantic -Wconversion -Wshadow)
if(ZEROI2V_WERROR)
    list(APPEND ZEROI2V_WARNING_FLAGS -Werror)
endif()
# nvcc writes a C++ file for its host compiler with line directives that -Wpedantic calls an extension.
set(ZEROI2V_CUDA_WARNING_FLAGS -Xcompiler=-Wall,-Wextra,-Wconversion,-Wshadow)
if(ZEROI2V_WERROR)
    list(APPEND ZEROI2V_CUDA_WARNING_FLAGS -Werror=all-warnings)
endif()

# zeroi2v_own_target(<target>): our warnings, no compiler extensions.
function(zeroi2v_own_target target)
    target_compile_options(${target} PRIVATE
        "$<$<COMPILE_LANGUAGE:CXX>:${ZEROI2V_WARNING_FLAGS}>" "$<$<COMPILE_LANGUAGE:CUDA>:${ZEROI2V_CUDA_WARNING_FLAGS}>")
    set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
endfunction()

# What computes is in zeroi2v::dispatch, at the build's own level; around it -O3 buys nothing and takes a third longer to build.
function(zeroi2v_around_kernels target)
    zeroi2v_own_target(${target})
    target_compile_options(${target} PRIVATE $<$<AND:$<CONFIG:Release>,$<COMPILE_LANGUAGE:CXX>>:-O2>)
endfunction()

# What is compiled for the compiler's verdict and never run for long.
function(zeroi2v_only_compiled target)
    zeroi2v_own_target(${target})
    target_compile_options(${target} PRIVATE $<$<AND:$<CONFIG:Release>,$<COMPILE_LANGUAGE:CXX>>:-O0>)
endfunction()

# zeroi2v_program(<target>): as above, and the executable lands in <build>/bin.
function(zeroi2v_program target)
    zeroi2v_around_kernels(${target})
    set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${zeroi2v_BINARY_DIR}/bin")
endfunction()

option(ZEROI2V_UNITY_BUILD "Compile the program, its tests and the snippets in few large units: a third of the time for all, more for one change" OFF)

# zeroi2v_in_few_units(<target> [<files in a unit>]): a target of many small files that all use the same large headers.
function(zeroi2v_in_few_units target)
    set(files 16)
    if(ARGC GREATER 1)
        set(files ${ARGV1})
    endif()
    set_target_properties(${target} PROPERTIES UNITY_BUILD ${ZEROI2V_UNITY_BUILD} UNITY_BUILD_BATCH_SIZE ${files})
endfunction()

# zeroi2v_left_out(<what> <reason> <apt package>...): says what this build does without, and how to get it.
function(zeroi2v_left_out what reason)
    list(JOIN ARGN " " packages)
    if(packages)
        message(STATUS "zeroi2v: ${what} left out: ${reason} (apt install ${packages})")
    else()
        message(STATUS "zeroi2v: ${what} left out: ${reason}")
    endif()
endfunction()
