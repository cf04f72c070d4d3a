# Finds what the libraries stand on; used by our own build and, installed, by zeroi2vConfig.cmake.
# A target that the including project has made already is taken as it is. Nothing is downloaded.

# zeroi2v_find_xsimd(): target `xsimd`, or nothing.
macro(zeroi2v_find_xsimd)
    if(NOT TARGET xsimd)
        find_package(xsimd 8.1 QUIET)
    endif()
    # Debian 12 names the library xtl in xsimd's link interface without depending on its package. xsimd reads a header
    # of it only when XSIMD_ENABLE_XTL_COMPLEX is defined, and we link no `-lxtl` that does not exist.
    if(TARGET xsimd AND NOT TARGET xtl)
        get_target_property(zeroi2v_xsimd_imported xsimd IMPORTED)
        get_target_property(zeroi2v_xsimd_links xsimd INTERFACE_LINK_LIBRARIES)
        if(zeroi2v_xsimd_imported AND "xtl" IN_LIST zeroi2v_xsimd_links)
            find_package(xtl QUIET)
            if(NOT TARGET xtl)
                list(REMOVE_ITEM zeroi2v_xsimd_links xtl)
                set_target_properties(xsimd PROPERTIES INTERFACE_LINK_LIBRARIES "${zeroi2v_xsimd_links}")
            endif()
        endif()
        unset(zeroi2v_xsimd_imported)
        unset(zeroi2v_xsimd_links)
    endif()
endmacro()

# zeroi2v_find_eigen(): target `Eigen3::Eigen`, or nothing.
macro(zeroi2v_find_eigen)
    if(NOT TARGET Eigen3::Eigen)
        find_package(Eigen3 3.4 QUIET NO_MODULE)
    endif()
endmacro()

# zeroi2v_find_threads(): target `Threads::Threads`, or nothing.
macro(zeroi2v_find_threads)
    if(NOT TARGET Threads::Threads)
        set(THREADS_PREFER_PTHREAD_FLAG ON)
        find_package(Threads QUIET)
    endif()
endmacro()

# zeroi2v_find_json(): target `nlohmann_json::nlohmann_json`, or nothing. Our tests only; no library needs it.
macro(zeroi2v_find_json)
    if(NOT TARGET nlohmann_json::nlohmann_json)
        find_package(nlohmann_json 3.11 QUIET)
    endif()
endmacro()

# zeroi2v_find_cli11(): target `CLI11::CLI11`, or nothing. Our program only; no library needs it.
macro(zeroi2v_find_cli11)
    if(NOT TARGET CLI11::CLI11)
        find_package(CLI11 2.1 QUIET)
    endif()
endmacro()

# zeroi2v_find_ffmpeg(): target `PkgConfig::ZEROI2V_FFMPEG`, or nothing.
macro(zeroi2v_find_ffmpeg)
    if(NOT TARGET PkgConfig::ZEROI2V_FFMPEG)
        find_package(PkgConfig QUIET)
        if(PKG_CONFIG_FOUND)
            pkg_check_modules(ZEROI2V_FFMPEG QUIET IMPORTED_TARGET GLOBAL
                libavformat>=59 libavcodec>=59 libswscale>=6 libavutil>=57)
        endif()
    endif()
endmacro()

# zeroi2v_find_mpi(): target `MPI::MPI_CXX`, or nothing. Its C interface only.
macro(zeroi2v_find_mpi)
    if(NOT TARGET MPI::MPI_CXX)
        set(MPI_CXX_SKIP_MPICXX ON)
        find_package(MPI 3.0 QUIET COMPONENTS CXX)
    endif()
endmacro()

# zeroi2v_find_cuda(): targets `CUDA::cudart` and `CUDA::cublasLt`, or nothing. The language CUDA is the project's to enable.
macro(zeroi2v_find_cuda)
    if(NOT TARGET CUDA::cublasLt)
        find_package(CUDAToolkit 13.0 QUIET)
    endif()
endmacro()
