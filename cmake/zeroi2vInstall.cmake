# Installs the libraries, the CMake package with one component per library, and one pkg-config file per library.

include(CMakePackageConfigHelpers)

set(zeroi2v_package_folder "${CMAKE_INSTALL_LIBDIR}/cmake/zeroi2v")

foreach(part IN LISTS zeroi2v_parts)
    get_target_property(target zeroi2v::${part} ALIASED_TARGET)
    set(kernels)
    if(part STREQUAL "cuda")
        set(kernels FILE_SET kernels DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
    endif()
    install(TARGETS ${target} EXPORT zeroi2v-${part}
        ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
        FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" ${kernels})
    install(EXPORT zeroi2v-${part} FILE zeroi2v-${part}-targets.cmake NAMESPACE zeroi2v::
        DESTINATION "${zeroi2v_package_folder}")
endforeach()

configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/zeroi2vConfig.cmake.in"
    "${PROJECT_BINARY_DIR}/package/zeroi2vConfig.cmake" INSTALL_DESTINATION "${zeroi2v_package_folder}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/package/zeroi2vConfigVersion.cmake"
    VERSION ${PROJECT_VERSION} COMPATIBILITY SameMinorVersion)
install(FILES
    "${PROJECT_BINARY_DIR}/package/zeroi2vConfig.cmake" "${PROJECT_BINARY_DIR}/package/zeroi2vConfigVersion.cmake"
    "${PROJECT_SOURCE_DIR}/cmake/zeroi2vDependencies.cmake"
    DESTINATION "${zeroi2v_package_folder}")
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}")

# zeroi2v_pkg_config(<part> <description> <requires> <libs>): <libdir>/pkgconfig/zeroi2v[-<part>].pc, free to be moved.
function(zeroi2v_pkg_config part description requires libs)
    set(cflags ${ARGN})
    if(NOT part IN_LIST zeroi2v_parts)
        return()
    endif()
    set(name zeroi2v-${part})
    if(part STREQUAL "zeroi2v")
        set(name zeroi2v)
    endif()
    set(pkg_config_folder "${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/pkgconfig")
    if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
        set(prefix "${CMAKE_INSTALL_PREFIX}")
        set(libdir "${CMAKE_INSTALL_FULL_LIBDIR}")
        set(includedir "${CMAKE_INSTALL_FULL_INCLUDEDIR}")
    else()
        file(RELATIVE_PATH up "${pkg_config_folder}" "${CMAKE_INSTALL_PREFIX}")
        string(REGEX REPLACE "/$" "" up "${up}")
        set(prefix "\${pcfiledir}/${up}")
        set(libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
        set(includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
    endif()
    configure_file("${PROJECT_SOURCE_DIR}/cmake/zeroi2v.pc.in" "${PROJECT_BINARY_DIR}/package/${name}.pc" @ONLY)
    install(FILES "${PROJECT_BINARY_DIR}/package/${name}.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
endfunction()

zeroi2v_pkg_config(zeroi2v "video transformers with zero-cost temporal attention" "xsimd >= 8.1, eigen3 >= 3.4" "-pthread")
zeroi2v_pkg_config(io "checkpoint files for zeroi2v" "zeroi2v = ${PROJECT_VERSION}" "")
zeroi2v_pkg_config(video "videos for zeroi2v"
    "zeroi2v = ${PROJECT_VERSION}, libavformat >= 59, libavcodec >= 59, libswscale >= 6, libavutil >= 57" "")
zeroi2v_pkg_config(dispatch "zeroi2v's kernels for several instruction sets, chosen at run time"
    "zeroi2v = ${PROJECT_VERSION}" "-L\${libdir} -lzeroi2v_dispatch" "-DZEROI2V_DISPATCH=1")
zeroi2v_pkg_config(mpi "ranks of an MPI job for zeroi2v's trainer" "zeroi2v = ${PROJECT_VERSION}, mpi-c" "")
if(ZEROI2V_CUDA) # the toolkit's folder is the one that was found here: it has no pkg-config files of its own everywhere
    list(GET CUDAToolkit_INCLUDE_DIRS 0 cuda_include)
    zeroi2v_pkg_config(cuda "zeroi2v on CUDA devices" "zeroi2v = ${PROJECT_VERSION}" "-L${CUDAToolkit_LIBRARY_DIR} -lcublasLt -lcudart" "-I${cuda_include}")
endif()
